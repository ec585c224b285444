"""Deleting files that no version within the retention has: replaced files, and leftovers of processes that died.

Never a file that may still be committed (of a running flush or compaction, of any shard), and never one that another
tool put into the folder: `timestore verify` reports those and `timestore legacy import` imports them.
A crash leaves files that the next run deletes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from timestore_pipeline import clock
from timestore_pipeline.lake.garbage import GarbageFile
from timestore_pipeline.lake.maintenance import TableMaintenance

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
