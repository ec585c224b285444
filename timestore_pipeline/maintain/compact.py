"""One group of small files becomes one, in one commit: old files out, new one in. How it is written: `rewrite`.

After the commit the compaction is complete: the old files stay for readers of older versions, until `vacuum` deletes
them.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from timestore_pipeline.lake.replacing import Replacement
from timestore_pipeline.maintain.plan import Group
from timestore_pipeline.maintain.rewrite import Rewriter
from timestore_pipeline.model.lake import ExportedFile


@dataclass(frozen=True, slots=True)
class Compactor:
    """Compacts the groups of one table, one after the other."""

    rewriter: Rewriter

    def run(self, group: Group, row_bytes: float | None) -> ExportedFile:
        """Replace the group's files by one; return it.

        Raise `Conflict` or `Fenced` when another process changed the files first: nothing was changed. `Corrupted` when
        the proof fails, `DiskFull`, `RetryLater`; `OutcomeUnknown`: the next maintenance reads the outcome in the log.
        """
        table, dataset = self.rewriter.table, self.rewriter.dataset
        generation, claim = table.next_generation(), uuid.uuid4().hex
        new = self.rewriter.write(group, generation, row_bytes)
        with self.rewriter.burnt_on_error(generation, claim, {new.path: new}):
            info = {"maintainer": table.shard, "dataset": dataset, "rows": new.rows}
            table.replace(generation, Replacement(group.files, new), claim, info)
        return new
