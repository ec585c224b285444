"""One version of a table for a reader, and the staged batches that its rows contain.

A compaction removes files from later versions only; vacuum deletes them after its retention. A reader that takes longer
than the retention gets an error: the rows it has read until then are right, but not all.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow import fs

from timestore_pipeline.errors import Corrupted, OutcomeUnknown, RetryLater
from timestore_pipeline.lake import evolution, faults
from timestore_pipeline.lake.dataset import arrow_dataset
from timestore_pipeline.lake.handle import TableHandle
from timestore_pipeline.lake.history import live_files
from timestore_pipeline.lake.log import commit_metadata
from timestore_pipeline.lake.type_changes import leeway_of
from timestore_pipeline.model.commit import ranges_to_batches
from timestore_pipeline.model.recast import Leeway


class TableSnapshot:
    """One version; later commits do not change it."""

    def __init__(self, handle: TableHandle, table: DeltaTable, root: fs.FileSystem) -> None:
        self._handle = handle
        self._table = table
        self._root = root

    def to_arrow_dataset(self) -> ds.Dataset:
        """The rows with the partition column; raise `Conflict` for a table with unsupported features."""
        with faults.reading(self._handle.uri):
            return arrow_dataset(self._table, self._root)

    def as_published(self, rows: pa.Schema) -> pa.Schema:
        """The canonical schema `rows` with the types that its columns have in this version."""
        with faults.reading(self._handle.uri):
            published = evolution.as_published(self._table.schema(), rows)
        return pa.schema([field.with_name(name) for field, name in zip(published, rows.names, strict=True)])

    def leeway(self, column: str) -> Leeway | None:
        """As `LakeTable.leeway`."""
        with faults.reading(self._handle.uri):
            return leeway_of(self._table, column)

    def check_files(self) -> None:
        """Raise `RetryLater` when a file of this version was replaced and has been deleted.

        Raise `Corrupted` when a missing file is part of the newest version as well.
        """
        with faults.reading(self._handle.uri):
            files = {file.path for file in live_files(self._table)}
            found = {info.path for info in self._root.get_file_info(sorted(files)) if info.is_file}
            newest = {file.path for file in live_files(self._handle.existing())}
        if lost := sorted((files & newest) - found):
            hint = "restore the file from a backup; `timestore verify` lists every missing file"
            raise Corrupted(f"{lost[0]} is missing in {self._handle.uri}", hint=hint)
        if gone := sorted(files - found):
            hint = "run the query again; if queries take so long, raise TIMESTORE_MAINTAIN_RETENTION_DAYS"
            raise RetryLater(f"{gone[0]} of {self._handle.uri} was replaced and deleted while it was read", hint=hint)

    def batches_after(self, app_id: str, epoch: int) -> frozenset[str]:
        """Ids of the batches that commits with a later epoch put into this version.

        A commit names its batches, so it does not matter which claim it carries. Raise `OutcomeUnknown` when log
        cleanup has removed such a commit, `RetryLater` when the store does not answer.
        """
        with faults.reading(self._handle.uri):
            reached = self._table.transaction_version(app_id)
            if reached is None or reached <= epoch:
                return frozenset()
            try:
                commits = list(self._handle.log.carrying(app_id, epoch, self._table.version()))
            except LookupError as gone:
                raise OutcomeUnknown(
                    f"the log of {self._handle.uri} no longer lists what {app_id} published after epoch {epoch}",
                    hint="`timestore recover` enters the missing flushes into the ledger",
                ) from gone
        return frozenset(batch for actions in commits for batch in _published_batches(commit_metadata(actions)))


def _published_batches(metadata: dict[str, object]) -> list[str]:
    segments = metadata.get("segments")
    return list(ranges_to_batches(segments)) if isinstance(segments, dict) else []
