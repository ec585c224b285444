"""One version of a table for a reader: its rows, and the staged batches that they contain.

A compaction removes files from later versions only; vacuum deletes them after its retention. A reader that takes longer
than the retention gets an error: the rows it has read until then are right, but not all.

Rows are not read by `DeltaTable.to_pyarrow_dataset`: in deltalake 1.6 that loses rows when a filter asks for the nulls
of a column which some files lack, as they do after a column was added, or for a column without bounds. Here a file is
skipped for its partition and its time bounds only; inside the files, Arrow uses Parquet's own statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow import fs

from timestore_pipeline.errors import Conflict, Corrupted, OutcomeUnknown, RetryLater
from timestore_pipeline.lake import faults, table_schema
from timestore_pipeline.lake.handle import TableHandle
from timestore_pipeline.lake.history import live_files
from timestore_pipeline.lake.layout import is_ours
from timestore_pipeline.lake.log import commit_metadata
from timestore_pipeline.lake.table_schema import leeway_of
from timestore_pipeline.model.lake import ranges_to_batches
from timestore_pipeline.model.recast import Leeway

_UNDERSTOOD = {"timestampNtz"}  # reader features that change nothing about the Parquet files

# Arrow's default, 16 batches of each of 4 files, comes to a gigabyte where rows are wide, and has no other bound.
_READ_AHEAD = {"batch_readahead": 2, "fragment_readahead": 2}

Add = dict[str, Any]  # one row of deltalake's list of live files


class _Frugal(ds.FileSystemDataset):  # type: ignore[misc]  # pyarrow has no types
    """Bounds the read-ahead, also for scans by DuckDB, which passes columns and filter only.

    Files of other tools are read whole and filtered afterwards: deltalake writes strings as views, which Arrow casts
    and cannot compare.
    """

    def scanner(self, **options: Any) -> ds.Scanner:
        options = _READ_AHEAD | options
        fragments = list(self.get_fragments(options.get("filter")))
        foreign = [fragment for fragment in fragments if not is_ours(fragment.path)]
        if not foreign:
            return super().scanner(**options)
        chosen = {name: options.pop(name) for name in ("columns", "filter") if name in options}
        ours = self._of([fragment for fragment in fragments if is_ours(fragment.path)]).scanner(**options, **chosen)
        batches = self._of(foreign).scanner(**options).to_batches()
        theirs = ds.Scanner.from_batches(batches, schema=self.schema, **chosen)
        return ds.Scanner.from_batches(chain(ours.to_batches(), theirs.to_batches()), schema=ours.projected_schema)

    def _of(self, fragments: list[ds.Fragment]) -> ds.Dataset:
        return ds.FileSystemDataset(fragments, self.schema, self.format, self.filesystem)


def arrow_dataset(table: DeltaTable, root: fs.FileSystem) -> ds.Dataset:
    """All live files under `root`; raise `Conflict` when a table feature changes which rows the files stand for."""
    check_features(table)
    schema = pa.schema(table.schema().to_arrow())
    file_format = ds.ParquetFileFormat()
    fragments = [
        file_format.make_fragment(
            unquote(add["path"]),
            filesystem=root,
            partition_expression=_guarantee(add, schema),
            file_size=add["size_bytes"],
        )
        for add in pa.table(table.get_add_actions()).to_pylist()
    ]
    return _Frugal(fragments, schema, file_format, root)


def check_features(table: DeltaTable) -> None:
    """Raise `Conflict` when the table uses a feature that changes what its Parquet files mean."""
    if foreign := set(table.protocol().reader_features or []) - _UNDERSTOOD:
        raise Conflict(
            f"the table uses {sorted(foreign)}, which another tool has switched on",
            hint="read it with an engine that supports these features, or switch them off",
        )


def _guarantee(add: Add, schema: pa.Schema) -> pc.Expression:
    """A condition that holds for every row of the file."""
    guarantee = pc.scalar(True)
    for condition in (*_partition(add, schema), *_times(add, schema)):
        guarantee = guarantee & condition
    return guarantee


def _partition(add: Add, schema: pa.Schema) -> Iterator[pc.Expression]:
    for name, value in (add.get("partition") or {}).items():
        column = pc.field(name)
        yield column.is_null() if value is None else column == pa.scalar(value, schema.field(name).type)


def _times(add: Add, schema: pa.Schema) -> Iterator[pc.Expression]:
    for field in schema:
        if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
            low, high, nulls = ((add.get(key) or {}).get(field.name) for key in ("min", "max", "null_count"))
            column = pc.field(field.name)
            if nulls is not None and nulls == add["num_records"]:
                yield column.is_null()
            elif low is not None and high is not None:
                inside = (column >= pa.scalar(low, field.type)) & (column <= pa.scalar(high, field.type))
                yield inside if nulls == 0 else inside | column.is_null()


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
            published = table_schema.as_published(self._table.schema(), rows)
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
