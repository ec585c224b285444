"""Commits that put a table's rows into other files: a compaction, and a column's change of type.

Both are committed on top of the version in which the old files were seen, or not at all, because deltalake does not
check that removed files are still there. A change of type removes every file. It uses deltalake's overwrite, the only
commit that changes columns and files in one version, so the table must have no file that the change does not replace.
Older versions keep their columns and files, and remain readable until `vacuum` deletes the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema, Transaction

from timestore_pipeline.errors import Conflict
from timestore_pipeline.lake import faults
from timestore_pipeline.lake.actions import add_action, remove_action
from timestore_pipeline.lake.epochs import EpochCommit
from timestore_pipeline.lake.handle import TableHandle
from timestore_pipeline.lake.history import RETYPED, live_files
from timestore_pipeline.lake.table_schema import times_retyped
from timestore_pipeline.model.lake import RETYPED_APP_ID, ExportedFile, PartitionKey, retyped_app_id
from timestore_pipeline.model.recast import Leeway


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A live file that a flush or a compaction wrote."""

    path: str
    rows: int
    bytes: int
    partition: PartitionKey
    earliest: str  # smallest time, spelt so that it sorts; empty = no time column, or no usable bound


@dataclass(frozen=True, slots=True)
class Replacement:
    """One file that replaces one or several: the same rows."""

    old: Sequence[OwnFile]
    new: ExportedFile


@dataclass(frozen=True, slots=True)
class TypeChange:
    """A column's change of type, planned for a table with certain columns."""

    column: str  # as the table spells it
    type: pa.DataType  # canonical
    leeway: Leeway
    columns: Schema  # of the table before

    @property
    def field(self) -> Field:
        """The column afterwards."""
        [new] = Schema.from_arrow(pa.schema([pa.field(self.column, self.type)])).fields
        [old] = [field for field in self.columns.fields if field.name == self.column]
        return Field(old.name, new.type, nullable=old.nullable, metadata=old.metadata)

    @property
    def columns_after(self) -> Schema:
        return Schema([self.field if field.name == self.column else field for field in self.columns.fields])


@dataclass(frozen=True, slots=True)
class Generation:
    """The number under which a shard's maintenance commits, and its claim."""

    app_id: str
    number: int
    claim: str

    def metadata(self, outcome: str, swaps: Sequence[Replacement], info: Mapping[str, Any]) -> dict[str, Any]:
        replaced = {swap.new.path: {file.path: file.rows for file in swap.old} for swap in swaps}
        settled = {"app_id": self.app_id, "epoch": self.number, "outcome": outcome, "claim": self.claim}
        return {**info, **settled, "replaced": replaced}


def compaction(handle: TableHandle, generation: Generation, swap: Replacement, info: Mapping[str, Any]) -> EpochCommit:
    """Replace the old files with the new one; no data change. Raises `Conflict` when an old file is gone."""
    return EpochCommit(
        generation.app_id,
        generation.number,
        burn=False,
        adds=[add_action(swap.new, changes_data=False)],
        metadata=generation.metadata("compacted", [swap], info),
        removes=[remove_action(file.path, file.bytes, file.partition) for file in swap.old],
        check=partial(check_live, handle, paths={file.path for file in swap.old}),
    )


def change_of_type(
    handle: TableHandle,
    generation: Generation,
    change: TypeChange,
    swaps: Sequence[Replacement],
    info: Mapping[str, Any],
) -> EpochCommit:
    """Replace all files and change the column's type, in one version.

    Raises `Conflict` when the table has other columns or files than the change was planned for.
    """
    times = times_retyped(handle.existing()) + 1
    mark = retyped_app_id(change.column, str(change.leeway))
    return EpochCommit(
        generation.app_id,
        generation.number,
        burn=False,
        adds=[add_action(swap.new, changes_data=True) for swap in swaps],
        metadata=generation.metadata(RETYPED, swaps, info),
        schema=change.columns_after,
        marks=[Transaction(RETYPED_APP_ID, times), Transaction(mark, times)],
        check=partial(_check_as_planned, handle, change, {file.path for swap in swaps for file in swap.old}),
    )


def check_live(handle: TableHandle, table: DeltaTable, paths: Set[str]) -> None:
    """Raise `Conflict` when a snapshot does not have one of the files."""
    if gone := sorted(paths - _live(handle, table)):
        hint = "another process replaced or deleted it meanwhile; nothing was changed"
        raise Conflict(f"{gone[0]} is no longer in {handle.uri}", hint=hint)


def _check_as_planned(handle: TableHandle, change: TypeChange, paths: Set[str], table: DeltaTable) -> None:
    check_live(handle, table, paths)
    if new := sorted(_live(handle, table) - paths):
        raise Conflict(f"{new[0]} was added to {handle.uri} meanwhile", hint="nothing was changed")
    with faults.reading(handle.uri):
        if table.schema() != change.columns:
            raise Conflict(f"the columns of {handle.uri} were changed meanwhile", hint="nothing was changed")


def _live(handle: TableHandle, table: DeltaTable) -> set[str]:
    with faults.reading(handle.uri):
        return {file.path for file in live_files(table)}
