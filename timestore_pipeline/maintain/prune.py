"""Deletes what is past its retention: files that no kept version of a table has, log entries, ledger entries.

Vacuum deletes replaced files and leftovers of processes that died; never a file that may still be committed (of a
running flush or compaction, of any shard), and never one that another tool put into the folder: `timestore verify`
reports those and `timestore legacy import` imports them. A crash leaves files that the next run deletes.

The entries that verification and rebuilding need stay: the rows of every flush, of old ones by stretches, the running
totals, and the commits from which a lost ledger would be rebuilt. A crash leaves a log that begins later, or a ledger
pruned in part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.lake.retention import GarbageFile, LogTrim
from timestore_pipeline.model.batch import begun_at
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.roll_up import idle_journals, remove_idle_journals
from timestore_pipeline.system import clock

_LONGEST_WRITE = timedelta(days=1)  # a file that did not change for so long is no longer being written


def vacuum(table: TableMaintenance, dataset: str, retention: timedelta, *, dry_run: bool) -> Sequence[GarbageFile]:
    """Delete, and return the deleted files by path, in a dry run the deletable ones; none when there is no table.

    To be called under the dataset's lock: an unsettled generation of this shard belongs to a dead process.
    """
    facts = table.folder_facts(dataset)
    if facts is not None and not dry_run and (generation := facts.unsettled(table.shard)):
        table.burn(generation, "its process is gone", None)
        facts = table.folder_facts(dataset)
    if facts is None:
        return ()
    files = sorted(facts.disused(clock.now() - retention), key=lambda file: file.path)
    if not dry_run:
        table.delete([file.path for file in files])
        table.remove_abandoned(clock.now() - max(retention, _LONGEST_WRITE))
    return files


SLACK = timedelta(days=1)  # between a segment's clock and a commit's


def prune_log(
    area: StagingArea, table: TableMaintenance, dataset: str, retention: timedelta, *, dry_run: bool
) -> LogTrim:
    """Remove commits that are older than the retention and that no rebuild would need.

    Returns the removed part of the log, in a dry run the removable one; nothing while another shard may still need it.
    """
    if not dry_run:
        remove_idle_journals(area)
    trim = table.log.trimmable(min(clock.now() - retention, _oldest_needed(area, dataset)))
    if trim.shared and not dry_run:
        table.log.release(trim.version)
    if trim.waiting_for:
        return replace(trim, commits=0)
    return trim if dry_run else replace(trim, commits=table.log.trim(trim.version))


def prune_ledger(area: StagingArea, dataset: str, keys: timedelta, flushes: timedelta) -> tuple[int, int, int]:
    """Delete published batches with their keys, and statistics of published files; fold old flushes.

    keys: the retention of the first two. Returns the number of each.
    """
    before, files = clock.now() - keys, 0
    area.ledger.published.fold(dataset)
    batches = area.ledger.published.prune(dataset, before)
    while done := area.ledger.flushes.forget_statistics(dataset, before):
        files += done  # in steps, so that producers can write to the ledger in between
    return batches, files, area.ledger.flush_stretches.fold(dataset, clock.now() - flushes)


def _oldest_needed(area: StagingArea, dataset: str) -> datetime:
    """No batch of a remaining segment, and no flush in flight, was published before this instant.

    A batch is published after its journal was begun and its segment was written; a segment never changes afterwards.
    """
    directory = area.directory
    idle = set(idle_journals(area))  # removed by the next flush
    begun = [
        *(begun_at(path.stem) for path in directory.journal_files() if path.stem not in idle),
        area.ledger.segments.oldest(dataset),
        *(flush.claimed_at for flush in area.ledger.flushes.in_flight(dataset)),
    ]
    for folder in (directory.segment_folder(dataset), directory.quarantine_folder(dataset)):
        begun += [_written_at(path) for path in folder.glob("*")]
    return min([clock.now(), *(instant for instant in begun if instant is not None)]) - SLACK


def _written_at(path: Path) -> datetime | None:
    try:
        return clock.from_micros(path.stat().st_mtime_ns // 1000)
    except FileNotFoundError:
        return None
