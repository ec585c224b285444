"""The Delta log as files, for three tasks that deltalake leaves out.

Finding the commit that carries an epoch, by its transaction identifiers. Making commits survive a power loss, because
deltalake flushes nothing and a flush unlinks staged rows after it published them. And setting aside files that a power
loss tore: a file of the log is linked under its name only when complete, so a torn one is a write that never reached
the disk, and no process relied on it, since each flushes the log before relying on it. See decisions 0003 and 0004.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from timestore_pipeline.lake.log_files import (
    CHECKPOINT,
    COMMIT,
    HINT,
    Action,
    note_as_flushed,
    noted_as_flushed,
    parsed_commit,
    set_aside_torn,
    version_of,
)
from timestore_pipeline.lake.store import FileStore
from timestore_pipeline.system import clock
from timestore_pipeline.system.durable import make_folder, sync

BURNT_SUFFIX = "/burnt"  # of the second transaction identifier, which marks an epoch as burnt
METADATA_KEY = "timestore"  # of this product's JSON object in a commit's metadata

_FOLDER = "_delta_log"
_NOTE_EVERY = 20  # versions


@dataclass(frozen=True, slots=True)
class EpochMark:
    """The commit that carries an epoch."""

    version: int
    burnt: bool  # False = published
    claim: str | None = None  # the claim whose rows it carries, see `EpochCommit`


class DeltaLog:
    """The `_delta_log` folder of one table."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        self._durable = -1  # every file of the log up to this version was flushed by this object

    def commits(self, after: int = -1) -> Iterator[tuple[int, list[Action]]]:
        """(version, actions) of the commits that log cleanup has left, oldest first."""
        for version in self._versions():
            if version > after:
                yield version, self._actions(version)

    def find(self, app_id: str, epoch: int) -> EpochMark | None:
        """The commit that carries the epoch; None = no commit does, and none ever can.

        For an epoch the table has reached or passed. Raise `LookupError` when log cleanup has removed commits that may
        have carried it. Epochs only grow, so the search stops at the first lower one.
        """
        versions = self._versions()
        for version in reversed(versions):
            actions = self._actions(version)
            found = _transactions(actions)
            if found.get(app_id) == epoch:
                burnt = found.get(app_id + BURNT_SUFFIX) == epoch
                return EpochMark(version, burnt, commit_metadata(actions).get("claim"))
            if found.get(app_id, epoch) < epoch:
                return None
        if versions[:1] != [0]:
            raise LookupError(f"log cleanup has removed the commits before version {versions[:1]}")
        return None

    def oldest(self) -> int | None:
        """The first version that log cleanup has left; None = there is no log."""
        return next(iter(self._versions()), None)

    def trimmable(self, before: datetime) -> int:
        """The newest checkpoint with only commits from before an instant below it; 0 = none.

        Every version from the checkpoint on can be read without the commits below it.
        """
        names = self._store.list(_FOLDER)
        checkpoints = {int(match[1]) for name in names if (match := CHECKPOINT.fullmatch(name))}
        found = 0
        for version, actions in self.commits():
            if version in checkpoints and version > 0:
                found = version
            if (instant := commit_instant(actions)) is None or instant >= before:
                break
        return found

    def trim(self, version: int) -> int:
        """Remove commits and checkpoints below a checkpoint, oldest first; return the number of commits.

        A crash half-way leaves a log that begins later. Raise `OSError`.
        """
        doomed = sorted(name for name in self._store.list(_FOLDER) if version_of(name) in range(version))
        for name in doomed:
            self._store.delete(f"{_FOLDER}/{name}")
        return sum(COMMIT.fullmatch(name) is not None for name in doomed)

    def carrying(self, app_id: str, after: int, version: int) -> Iterator[list[Action]]:
        """Commits up to a version that carry an epoch above `after`, newest first; burnt ones, too.

        Raise `LookupError` when log cleanup has removed commits that may be among them.
        """
        versions = [known for known in self._versions() if known <= version]
        for known in reversed(versions):
            actions = self._actions(known)
            epoch = _transactions(actions).get(app_id)
            if epoch is not None and epoch > after:
                yield actions
            if epoch is not None and epoch <= after + 1:
                return
        if versions[:1] != [0]:
            raise LookupError(f"log cleanup has removed the commits before version {versions[:1]}")

    def prepare(self) -> None:
        """Make the folder of a new table durable before deltalake writes its first commit into it."""
        if self._store.root is not None:
            make_folder(self._store.root / _FOLDER)

    def make_durable(self, version: int) -> None:
        """Flush every commit and checkpoint up to `version` and the folder; on an object store they are durable.

        Not just the newest: the ones below may be of a process that has committed and not flushed yet, and a hole
        below a durable commit makes a table unreadable. A note beside the log says how far it was flushed: a run is a
        new process, and would otherwise flush a year of commits again.
        """
        folder = self.folder
        if folder is None or version <= self._durable:
            return
        names = self._store.list(_FOLDER)
        noted = noted_as_flushed(folder, names)
        for name in names:
            match = COMMIT.fullmatch(name) or CHECKPOINT.fullmatch(name)
            if match is not None and max(self._durable, noted) < int(match[1]) <= version:
                sync(folder / name)
        sync(folder)
        self._durable = version
        if version >= noted + _NOTE_EVERY:
            note_as_flushed(folder, version)

    def make_checkpoint_durable(self, version: int) -> None:
        """Flush a checkpoint just written and the hint that points to it."""
        folder = self.folder
        if folder is None:
            return
        for path in (*folder.glob(f"{version:020d}.checkpoint*.parquet"), folder / HINT):
            sync(path)
        sync(folder)

    def set_aside_torn(self) -> bool:
        """Rename torn checkpoints and a torn newest commit; True when there was one."""
        return self.folder is not None and self.folder.is_dir() and set_aside_torn(self.folder)

    @property
    def folder(self) -> Path | None:
        """None = in a bucket."""
        return None if self._store.root is None else self._store.root / _FOLDER

    def _versions(self) -> list[int]:
        return [int(match[1]) for name in self._store.list(_FOLDER) if (match := COMMIT.fullmatch(name))]

    def _actions(self, version: int) -> list[Action]:
        return parsed_commit(self._store.read(f"{_FOLDER}/{version:020d}.json"))


def commit_metadata(actions: Sequence[Action]) -> dict[str, Any]:
    """This product's metadata of a commit; empty = another tool's commit, or maintenance."""
    for action in actions:
        if METADATA_KEY in action.get("commitInfo", {}):
            found: dict[str, Any] = json.loads(action["commitInfo"][METADATA_KEY])
            return found
    return {}


def commit_instant(actions: Sequence[Action]) -> datetime | None:
    """When a commit was made, by its writer's clock; None = the commit has no timestamp."""
    millis = next((action["commitInfo"].get("timestamp") for action in actions if "commitInfo" in action), None)
    return None if millis is None else clock.from_micros(millis * 1000)


def _transactions(actions: list[Action]) -> dict[str, int]:
    return {action["txn"]["appId"]: action["txn"]["version"] for action in actions if "txn" in action}
