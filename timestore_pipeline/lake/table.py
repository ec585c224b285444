"""One dataset's Delta table: exported files are published by epoch, at most once.

Order of a publish, so that every crash is boring: the files are durable (`write`), then one commit names all of them
and carries the epoch (`publish`), then the log is flushed to disk, then the caller unlinks the staged rows. A crash
before the commit leaves unreferenced files; after it, `outcome` flushes the log and returns PUBLISHED. How the log
keeps an epoch's outcome: decision 0003. Which files survive a power loss: decision 0004.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset
from deltalake import DeltaTable

from timestore_pipeline.errors import Conflict, Fenced
from timestore_pipeline.lake import faults, layout, table_schema
from timestore_pipeline.lake.actions import add_action
from timestore_pipeline.lake.epochs import EpochCommit, settle, settled_in
from timestore_pipeline.lake.history import (
    NewestEpoch,
)
from timestore_pipeline.lake.log import BURNT_SUFFIX
from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.lake.parquet import ParquetFile, parts, write_parquet, write_parquets
from timestore_pipeline.lake.readable import ReadableTable
from timestore_pipeline.lake.stats import delta_stats, time_bounds
from timestore_pipeline.lake.store import Location
from timestore_pipeline.lake.table_schema import check_types
from timestore_pipeline.model.dataset import check_dataset_name, is_dataset_name
from timestore_pipeline.model.lake import EpochOutcome, ExportedFile, PartitionKey
from timestore_pipeline.model.thresholds import ParquetOptions


class Lake:
    """All datasets' tables, each at `<uri>/<dataset>`."""

    def __init__(
        self, uri: str, storage_options: Mapping[str, str] | None = None, *, spool: Path | None = None
    ) -> None:
        """`uri`: a path, file:///folder or s3://bucket/prefix; `storage_options`: AWS_ENDPOINT_URL and so on.

        `spool`: local folder where files bound for a bucket are written first; None = the system's temporary folder.
        """
        given = dict(storage_options or {})
        self._location = Location.parse(uri, given)
        self.uri = self._location.uri
        # Without conditional puts two writers could both commit the same version, and one would be lost.
        self._options = given if self._location.filesystem is None else {"aws_conditional_put": "etag", **given}
        self._spool = spool
        self._tables: dict[str, LakeTable] = {}

    def table(self, dataset: str) -> LakeTable:
        """The dataset's table, which need not exist yet."""
        if dataset not in self._tables:
            location = self._location.child(check_dataset_name(dataset))
            self._tables[dataset] = LakeTable(location, self._options, self._spool)
        return self._tables[dataset]

    def folders(self) -> list[str]:
        """Names of the entries that may be a dataset's folder, with or without a table, sorted."""
        with faults.reading(self._location.uri):
            return [name for name in self._location.store().list() if is_dataset_name(name)]

    def datasets(self) -> list[str]:
        """Names of the tables that exist, sorted; raise `RetryLater` when the store does not answer."""
        store = self._location.store()
        with faults.reading(self._location.uri):
            return [name for name in store.list() if store.exists(f"{name}/_delta_log")]


class LakeTable(ReadableTable):
    """Adds publishing. While there is no table, every epoch is ABSENT."""

    def ensure(self, schema: pa.Schema, partitioning: layout.Partitioning) -> None:
        """Create the table, or add the columns it lacks; any number of processes may do so at once.

        Raise `SchemaConflict` for a changed type or partitioning, `InvalidData` for a type Delta cannot keep.
        """
        self._handle.ensure(table_schema.delta_schema(schema, partitioning), partitioning)

    def write(
        self,
        con: duckdb.DuckDBPyConnection,
        select_sql: str,
        partition: PartitionKey,
        *,
        shard: str,
        epoch: int,
        time_column: str | None = None,
        options: ParquetOptions | None = None,
    ) -> ExportedFile:
        """Export the rows of `select_sql`, all of them of `partition`, into one durable file that is not live yet.

        Raise `DiskFull`, or `RetryLater` when an upload fails; DuckDB's own errors pass through.
        """
        path = layout.file_name(partition, shard, epoch)
        written = write_parquet(con, select_sql, self._store, path, options)
        return _exported(path, partition, written, time_column)

    def write_many(
        self,
        con: duckdb.DuckDBPyConnection,
        rows: pa.Table,
        partitioning: layout.Partitioning,
        *,
        shard: str,
        epoch: int,
        options: ParquetOptions | None = None,
    ) -> list[ExportedFile]:
        """Export rows of many small partitions: all files are durable, or none exists.

        rows: in the order of their partitions; each has a time.
        """
        found = {
            layout.file_name(partitioning.key(part.value), shard, epoch): part
            for part in parts(con, rows, partitioning.value_sql())
        }
        sizes = write_parquets({path: part.rows for path, part in found.items()}, self._store, options)
        return [
            _exported(
                path,
                partitioning.key(part.value),
                ParquetFile(part.rows.num_rows, sizes[path], rows.schema, part.statistics),
                partitioning.time_column,
            )
            for path, part in found.items()
        ]

    def publish(
        self, app_id: str, epoch: int, files: Sequence[ExportedFile], commit_info: Mapping[str, Any]
    ) -> int | None:
        """Add all files in one commit that carries the epoch; return its version.

        `commit_info["claim"]` names the claim: an epoch that another claim has taken counts as burnt for this one.
        Publishing again is safe: it returns the first commit's version, None when log cleanup has removed that commit.
        Raise `Fenced` (burnt, overtaken or taken), `RetryLater` or `DiskFull` (not in the log; again, or `burn`),
        `OutcomeUnknown` (call `outcome` later), `MissingTable` (call `ensure` first).
        """
        metadata = {**commit_info, "app_id": app_id, "epoch": epoch, "outcome": "published"}
        adds = [add_action(file, changes_data=True) for file in files]
        check = partial(self._check_types, files)
        settled = settle(
            self._handle, EpochCommit(app_id, epoch, burn=False, adds=adds, metadata=metadata, check=check)
        )
        if settled.outcome is EpochOutcome.BURNT:
            raise Fenced(
                f"epoch {epoch} of {app_id} was burnt or overtaken, or another ledger has taken it",
                hint="stop; its rows are safe elsewhere. Does another staging directory have the same TIMESTORE_SHARD?",
            )
        return settled.version

    def _check_types(self, files: Sequence[ExportedFile], table: DeltaTable) -> None:
        with faults.reading(self.uri):
            check_types(table, self._root, files)

    def burn(self, app_id: str, epoch: int, reason: str, claim: str | None = None) -> EpochOutcome:
        """Make sure that the epoch is never published: BURNT, or PUBLISHED when this claim had published it before.

        Raise as `publish` does, except `Fenced`. A missing table is refused with `MissingTable`: the epoch's holder
        could still create the table and publish, so call `ensure` first.
        """
        metadata = {"app_id": app_id, "epoch": epoch, "outcome": "aborted", "reason": reason, "claim": claim}
        return settle(self._handle, EpochCommit(app_id, epoch, burn=True, adds=(), metadata=metadata)).outcome

    def outcome(self, app_id: str, epoch: int) -> EpochOutcome:
        """The epoch's outcome; raise `OutcomeUnknown` when the log does not show it, or no longer does.

        Any outcome but ABSENT is flushed to disk before it is returned, so the caller may act on it. ABSENT may change
        as long as the epoch's holder may be alive: `burn` makes it final.
        """
        table = self._handle.open()
        settled = None if table is None else settled_in(self._handle, table, app_id, epoch)
        return EpochOutcome.ABSENT if settled is None else settled.outcome

    def newest(self, app_id: str) -> NewestEpoch:
        """The newest epoch in the log, 0 = none: a claim with this epoch or a lower one could never be published."""
        table = self._handle.open()
        if table is None:
            return NewestEpoch(0, published=False)
        with faults.reading(self.uri):
            epoch = int(table.transaction_version(app_id) or 0)
            return NewestEpoch(epoch, published=table.transaction_version(app_id + BURNT_SUFFIX) != epoch)

    def discard(self, files: Sequence[ExportedFile]) -> None:
        """Delete files whose epoch is proven unpublished; raise `Conflict`, deleting none, if the table names one."""
        live = {file.path for file in self.live_files()}
        if named := sorted(live.intersection(file.path for file in files)):
            raise Conflict(f"{named[0]} is published in {self.uri}", hint="call `outcome` before discarding")
        for file in files:
            self._store.delete(file.path)

    def discard_leftovers(self, paths: Sequence[str]) -> None:
        """Delete files of epochs the log has passed; raise `Conflict`, deleting none, if a commit names one."""
        history = self.history()
        if named := sorted(set(paths).intersection(history.named() if history else ())):
            raise Conflict(f"{named[0]} is published in {self.uri}", hint="run `timestore verify` again")
        for path in paths:
            self._store.delete(path)

    def upkeep(self, shard: str) -> TableMaintenance:
        """Maintenance of the table, on behalf of a shard."""
        return TableMaintenance(self.uri, self._handle, self._store, self._root, shard)


def _exported(path: str, partition: PartitionKey, written: ParquetFile, time_column: str | None) -> ExportedFile:
    statistics = delta_stats(written.rows, written.column_statistics, written.schema)
    earliest, latest = time_bounds(written.column_statistics, written.schema, time_column)
    return ExportedFile(path, written.rows, written.bytes, partition, statistics, earliest, latest)
