"""Deleting what no version within the retention has: files that were replaced, and leftovers of what died.

Never a file that may still get in (of a flush or a compaction at work, of any shard), and never one that somebody else
put into the folder: those are told by `timestore verify` and taken in by `timestore legacy import`.
A crash leaves files that the next run deletes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from timestore_pipeline import clock
from timestore_pipeline.lake.garbage import GarbageFile
from timestore_pipeline.lake.maintenance import TableMaintenance

_LONGEST_WRITE = timedelta(days=1)  # a file that nothing was added to for so long is no longer being written


def vacuum(table: TableMaintenance, dataset: str, retention: timedelta, *, dry_run: bool) -> Sequence[GarbageFile]:
    """Delete, and return what was deleted, by path; of a dry run what would be. None when there is no table.

    To be called under the dataset's lock: a generation of this shard that is not settled is a dead process's.
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
