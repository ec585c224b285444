"""Staged columns of another type than the one they are published with: cast where that keeps the value, else refused.

A value is kept when it comes back unchanged from the published type. Of a column that was given its type by `timestore
datasets retype` it is kept by the rule of that command, as the published rows were. A batch with one that is not is
named, so that it can be set aside and the rest published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from timestore_pipeline.errors import SchemaConflict
from timestore_pipeline.flush.attach import Place, RowsUnfit, StagedSource
from timestore_pipeline.model.evolution import check_castable
from timestore_pipeline.model.lake import ranges_of
from timestore_pipeline.model.recast import Leeway, Recast, recast
from timestore_pipeline.model.schema_json import schema_from_json
from timestore_pipeline.model.sql_types import duckdb_type, literal, quote
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord

_SHOWN = 200  # characters of a value

LeewayOf = Callable[[str], Leeway | None]  # of a column that was retyped; None = its type was learnt from another shard


@dataclass(frozen=True, slots=True)
class RetypedColumn:
    """A column as a segment holds it, and as it is published."""

    name: str  # as it is published; DuckDB does not tell spellings apart
    staged: pa.DataType
    published: pa.DataType
    leeway: Leeway | None = None  # None = the type was learnt, or holds every staged value
    declared: bool = False  # an operator has declared how it is published

    def fits(self) -> str:
        """SQL over a staged row: whether the value is kept."""
        return self._recast.kept

    def value(self) -> str:
        """SQL for the published value; an error when it would be another."""
        return f"CASE WHEN {self.fits()} THEN {self._recast.value} ELSE error({self.refusal()}) END"

    def refusal(self) -> str:
        """SQL for the sentence about a value that does not fit."""
        before, after = f"column {self.name!r} holds ", f" ({self.staged}), which does not fit {self.published}"
        shown = f"CAST({quote(self.name)} AS VARCHAR)[:{_SHOWN}]"
        return f"{literal(before)} || {shown} || {literal(after + ', as which the lake has it')}"

    @property
    def _recast(self) -> Recast:
        if self.leeway is None and not self._is_castable:
            return Recast(f"NULL::{duckdb_type(self.published)}", f"({quote(self.name)} IS NULL)")
        return recast(quote(self.name), self.staged, self.published, self.leeway or Leeway())

    @property
    def _is_castable(self) -> bool:
        try:
            check_castable(self.published, self.staged, self.name, declared=self.declared)
        except SchemaConflict:
            return False
        return True


Retyped = Mapping[str, Sequence[RetypedColumn]]  # by source name; absent = all columns are as published


def retyped_columns(
    connection: duckdb.DuckDBPyConnection, record: DatasetRecord, sources: Sequence[StagedSource], leeway: LeewayOf
) -> dict[str, list[RetypedColumn]]:
    """Columns that the sources hold in other types than the record."""
    found = {source.name: list(_differing(connection, record, source.name, leeway)) for source in sources}
    return {name: columns for name, columns in found.items() if columns}


def refuse_unfit(
    connection: duckdb.DuckDBPyConnection, dataset: str, sources: Sequence[StagedSource], retyped: Retyped
) -> None:
    """Raise `RowsUnfit` when a claimed batch holds a value that would not be kept."""
    culprits: dict[Place, str] = {}
    for source in sources:
        for column in retyped.get(source.name, ()):
            found = connection.execute(
                f"SELECT {BATCH_COLUMN}, first({column.refusal()}) FROM {quote(source.name)}.rows"
                f" WHERE ({in_batches(source.sequences)}) AND NOT {column.fits()} GROUP BY ALL"
            ).fetchall()
            culprits = {(source.held_in, sequence): error for sequence, error in found} | culprits
    if culprits:
        raise RowsUnfit(culprits, dataset=dataset)


def in_batches(sequences: Sequence[int]) -> str:
    """SQL condition for the rows of some batches of a source.

    By ranges, not by a join with the claim: 250 joins at once would take half a gigabyte, however few the rows.
    """
    return " OR ".join(f"{BATCH_COLUMN} BETWEEN {first} AND {last}" for first, last in ranges_of(sequences))


def _differing(
    connection: duckdb.DuckDBPyConnection, record: DatasetRecord, source: str, leeway: LeewayOf
) -> Iterator[RetypedColumn]:
    assert record.schema is not None, "a claimed dataset has a schema"
    [(text,)] = connection.execute(f"SELECT schema FROM {quote(source)}.segment").fetchall()
    staged = {field.name.casefold(): field.type for field in schema_from_json(text)}
    for field in record.schema:
        there = staged.get(field.name.casefold(), field.type)
        if there != field.type:
            declared = field.name in record.metadata.schema_.columns
            yield RetypedColumn(field.name, there, field.type, leeway(field.name), declared)
