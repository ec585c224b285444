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

from timestore_pipeline.errors import SchemaConflict, TimestoreError
from timestore_pipeline.model.commit import ranges_of
from timestore_pipeline.model.evolution import check_castable
from timestore_pipeline.model.recast import Leeway, Recast, recast
from timestore_pipeline.model.schema_json import schema_from_json
from timestore_pipeline.model.sql_types import duckdb_type, literal, quote
from timestore_pipeline.staging.group_rows import BATCH_COLUMN
from timestore_pipeline.staging.ledger.datasets import DatasetRecord

_SHOWN = 200  # characters of a value

LeewayOf = Callable[[str], Leeway | None]  # of a column that was retyped; None = its type was learnt from another shard

Place = tuple[str, int]  # segment id and sequence: where a batch's rows lie; its id may tell where they were first


class RowsUnfit(TimestoreError):
    """Batches hold values that the published types cannot; `culprits`: where each lies -> what is wrong with it."""

    code = "rows_unfit"

    def __init__(self, culprits: Mapping[Place, str], *, dataset: str) -> None:
        super().__init__(f"{len(culprits)} batches do not fit the published columns", dataset=dataset)
        self.culprits = culprits


@dataclass(frozen=True, slots=True)
class RetypedColumn:
    """A column as a segment holds it, and as it is published."""

    name: str  # as it is published; DuckDB does not tell spellings apart
    staged: pa.DataType
    published: pa.DataType
    leeway: Leeway | None = None  # None = the type was learnt, or is one that holds whatever is staged
    declared: bool = False  # an operator has said how it is published

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


Retyped = Mapping[str, Sequence[RetypedColumn]]  # by segment id; absent = all columns are as they are published


def retyped_columns(
    connection: duckdb.DuckDBPyConnection, record: DatasetRecord, segment_ids: Sequence[str], leeway: LeewayOf
) -> dict[str, list[RetypedColumn]]:
    """What the segments, which are attached under their ids, hold in other types than the record says."""
    found = {segment_id: list(_differing(connection, record, segment_id, leeway)) for segment_id in segment_ids}
    return {segment_id: columns for segment_id, columns in found.items() if columns}


def refuse_unfit(
    connection: duckdb.DuckDBPyConnection, dataset: str, claimed: Mapping[str, Sequence[int]], retyped: Retyped
) -> None:
    """Raise `RowsUnfit` when a claimed batch holds a value that would not be kept."""
    culprits: dict[Place, str] = {}
    for segment_id, columns in retyped.items():
        for column in columns:
            found = connection.execute(
                f"SELECT {BATCH_COLUMN}, first({column.refusal()}) FROM {quote(segment_id)}.rows"
                f" WHERE ({in_batches(claimed[segment_id])}) AND NOT {column.fits()} GROUP BY ALL"
            ).fetchall()
            culprits = {(segment_id, sequence): error for sequence, error in found} | culprits
    if culprits:
        raise RowsUnfit(culprits, dataset=dataset)


def in_batches(sequences: Sequence[int]) -> str:
    """SQL condition for the rows of some batches of a segment.

    By ranges, not by a join with the claim: 250 joins at once would take half a gigabyte, however few the rows.
    """
    return " OR ".join(f"{BATCH_COLUMN} BETWEEN {first} AND {last}" for first, last in ranges_of(sequences))


def _differing(
    connection: duckdb.DuckDBPyConnection, record: DatasetRecord, segment_id: str, leeway: LeewayOf
) -> Iterator[RetypedColumn]:
    assert record.schema is not None, "a claimed dataset has a schema"
    [(text,)] = connection.execute(f"SELECT schema FROM {quote(segment_id)}.segment").fetchall()
    staged = {field.name.casefold(): field.type for field in schema_from_json(text)}
    for field in record.schema:
        there = staged.get(field.name.casefold(), field.type)
        if there != field.type:
            declared = field.name in record.metadata.schema_.columns
            yield RetypedColumn(field.name, there, field.type, leeway(field.name), declared)
