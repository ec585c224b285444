"""Rebuilds a lost or damaged ledger from its remains, segments and Delta log; reconciles a restored one.

In this order, so that a rebuild killed anywhere is simply run again:
1. a folder `quarantine/_ledger-<instant>.rebuilding` is made: from then on the directory does not look like a new one;
2. the damaged files move there, the database first: a process that finds it missing continues with this folder;
3. a new ledger is built beside, as `ledger.sqlite.building`, and made durable;
4. it is renamed to `ledger.sqlite`; 5. the folder loses its suffix, or is removed if the old ledger left no file.

A ledger that was restored from a backup is reconciled instead, also if nothing was published since and only the
operator knows of the backup. Then only the segments, also those that the copy lists, hold the batches staged after it.
This must run before the next flush, which would publish the batches that the copy lists and unlink the file.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timestore_pipeline.errors import LedgerMismatch, RetryLater
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.lake import app_id
from timestore_pipeline.recovery.reconcile import datasets_to_reconcile, reconcile
from timestore_pipeline.recovery.reconciliation import OfflineLedger, Reconciliation, Trust
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.damaged_ledger import copy_remains, is_sound, salvage, shard_of
from timestore_pipeline.staging.liveness import exclusively
from timestore_pipeline.staging.system_errors import system_error
from timestore_pipeline.system import clock
from timestore_pipeline.system.durable import make_folder, replacing, sync

_LOGS = ("-wal", "-shm")
_SUFFIXES = ("", *_LOGS)  # of the ledger's files, in the order in which they move


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The sources of the new ledger."""

    kept: Path | None  # folder of the old ledger's files; None = there were none
    salvaged: Mapping[str, int]  # table -> rows
    reconciliation: Reconciliation


def rebuild_if_lost(directory: StagingDirectory, shard: str, lake: Lake) -> Rebuilt | None:
    """Rebuild the ledger if it is lost or damaged; None when it is sound, or when there was never one.

    Raises `RetryLater` while other processes use the directory and the ledger has to be rebuilt, or when the lake does
    not answer; `LedgerMismatch` when the remains belong to another shard; `DiskFull`, `AccessDenied` or `DiskFailing`,
    after which the rebuild may be run again.
    """
    directory.prepare()
    with _translated(directory):
        if not _is_needed(directory):
            _finish(directory)
            return None
        with exclusively(directory):
            remains = _set_aside(directory)
            salvaged, reconciliation = _build(directory, shard, lake, remains / directory.ledger.name)
            _install(directory)
            return Rebuilt(_finish(directory), salvaged, reconciliation)


@contextmanager
def _translated(directory: StagingDirectory) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        typed = system_error(error, f"the rebuilding of {directory.ledger}")
        if typed is None:
            raise
        raise typed from error


def _is_needed(directory: StagingDirectory) -> bool:
    if not directory.ledger.exists():
        return directory.holds_rows() or directory.ledger_log.exists() or directory.rebuilding() is not None
    return not is_sound(directory.ledger, used=directory.holds_rows())


def _set_aside(directory: StagingDirectory) -> Path:
    folder = directory.rebuilding() or directory.new_rebuilding(f"{clock.now():%Y%m%dT%H%M%S%f}")
    make_folder(folder.parent, private=True)
    make_folder(folder, private=True)
    for suffix in _SUFFIXES:
        old = directory.ledger.with_name(directory.ledger.name + suffix)
        if old.exists():
            _move(old, folder / old.name)
    sync(folder)
    sync(directory.root)
    return folder


def _move(old: Path, new: Path) -> None:
    """Quarantine may be on another filesystem than the ledger; no other process has the directory open."""
    try:
        old.rename(new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replacing(new) as copy:
            shutil.copy2(old, copy)
        old.unlink()


def _build(
    directory: StagingDirectory, shard: str, lake: Lake, remains: Path
) -> tuple[Mapping[str, int], Reconciliation]:
    for suffix in _SUFFIXES:
        directory.building.with_name(directory.building.name + suffix).unlink(missing_ok=True)
    offline = OfflineLedger(directory, Ledger(directory.building, shard), shard)
    try:
        salvaged = _salvaged(directory, shard, remains, offline.ledger)
        reconciliation = reconcile(offline, lake, replace_shard=True, trust=Trust.NOTHING)
        if reconciliation.errors:
            raise RetryLater(
                f"the ledger cannot be rebuilt as long as the lake cannot be read: {reconciliation.errors[0]}",
                hint="repair the lake, then run `timestore recover` again; nothing is lost meanwhile",
            )
        offline.ledger.log_import.recount()
    finally:
        offline.close()
    return salvaged, reconciliation


def _salvaged(directory: StagingDirectory, shard: str, remains: Path, ledger: Ledger) -> Mapping[str, int]:
    with tempfile.TemporaryDirectory(dir=directory.spool) as scratch:
        copy = Path(scratch) / remains.name
        if not copy_remains(remains, copy):
            return {}
        if (found := shard_of(copy)) not in (None, shard):
            raise LedgerMismatch(
                f"the damaged ledger {remains} belongs to shard {found!r}, not to {shard!r}",
                hint="set TIMESTORE_SHARD to its owner",
            )
        return salvage(copy, ledger.database)


def _install(directory: StagingDirectory) -> None:
    """SQLite removes the log once it is copied into the file, and reports no error if it cannot, as on a full disk."""
    log = directory.building.with_name(directory.building.name + "-wal")
    if log.exists():
        raise RetryLater(
            f"the rebuilt ledger cannot be used yet: {log} could not be copied into its file",
            hint="make room on that disk, then run `timestore recover` again; nothing is lost meanwhile",
        )
    sync(directory.building)
    directory.building.rename(directory.ledger)
    sync(directory.root)


def _finish(directory: StagingDirectory) -> Path | None:
    """Give the folder of the old ledger its final name and return it; None = it was empty and is removed."""
    folder = directory.rebuilding()
    if folder is None:
        return None
    if not any(folder.iterdir()):
        shutil.rmtree(folder)
        return None
    return folder.rename(folder.with_suffix(""))


def reconcile_restored(
    directory: StagingDirectory, shard: str, lake: Lake, *, replace_shard: bool = False
) -> Reconciliation:
    """Enter batches staged and published since the backup; killed anywhere, it may be run again.

    Raises `RetryLater` while others use the directory.
    """
    directory.prepare()
    with exclusively(directory):
        ledger = Ledger(directory.ledger, shard, may_be_new=not directory.holds_rows())
        offline = OfflineLedger(directory, ledger, shard)
        try:
            return _reconcile_offline(offline, lake, replace_shard)
        finally:
            offline.close()


def _reconcile_offline(offline: OfflineLedger, lake: Lake, replace_shard: bool) -> Reconciliation:
    found = reconcile(offline, lake, replace_shard=replace_shard, trust=Trust.OLDER)
    for dataset in datasets_to_reconcile(offline, lake, Reconciliation()) if not found.errors else ():
        newest = lake.table(dataset).newest(app_id(offline.shard, dataset))
        if not newest.published:  # a burnt epoch names no ledger: the operator vouches that it was this one's
            offline.ledger.log_import.raise_epoch(dataset, newest.epoch)
    return found
