"""The rows of claimed batches, as databases attached to one engine: segment files, and copies from journals.

Rows of a journal are copied into databases in memory, one for each journal and each layout in which it holds some. They
count towards the engine's memory limit and spill like a sort. Both kinds have the tables that `segments` describes, so
what reads them need not know which it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import duckdb
import pyarrow as pa

from timestore_pipeline.errors import InvalidData, TimestoreError
from timestore_pipeline.model.batch import StagedBatch
from timestore_pipeline.model.schema_json import schema_to_json
from timestore_pipeline.model.sql_types import quote
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.group_rows import marked_rows
from timestore_pipeline.staging.journal import JournalReader, reading_failed
from timestore_pipeline.staging.journal_records import RecordLayout
from timestore_pipeline.staging.ledger.journals import RecordPlace
from timestore_pipeline.staging.segments import attach_sealed, create_rows_table, refused_rows_named

Place = tuple[str, int]  # segment or journal, and the sequence in it: a batch's id may tell where its rows were first
_COPIED_AT_ONCE = 16 * 2**20  # bytes of rows: a statement costs a millisecond, and they are held beside the engine


@dataclass(frozen=True, slots=True)
class StagedSource:
    """A database that is attached to an engine and holds rows of these batches."""

    name: str  # under which it is attached
    held_in: str  # id of the segment, or of the journal, that the rows come from
    sequences: Sequence[int]  # of the batches there, in order


class RowsUnfit(TimestoreError):
    """Batches hold values that the published types cannot; `culprits`: where each lies -> what is wrong with it."""

    code = "rows_unfit"

    def __init__(self, culprits: Mapping[Place, str], *, dataset: str) -> None:
        super().__init__(f"{len(culprits)} batches do not fit the published columns", dataset=dataset)
        self.culprits = culprits


def attach_sources(
    connection: duckdb.DuckDBPyConnection,
    area: StagingArea,
    dataset: str,
    batches: Iterable[Place],
    places: Sequence[RecordPlace],
) -> list[StagedSource]:
    """Attach the sources of these batches; the source of the first batch first.

    places: of the records that hold some of them. Raises `UnreadableSegment`, and what `attach_records` raises.
    """
    wanted: dict[str, list[int]] = {}
    for held_in, sequence in batches:
        wanted.setdefault(held_in, []).append(sequence)
    with JournalReader(area.directory.journal) as journals:
        sources = attach_records(connection, journals, dataset, list(_narrowed(places, wanted)))
    for segment_id in wanted.keys() - {source.held_in for source in sources}:
        attach_sealed(connection, area.directory.segment(dataset, segment_id), segment_id, dataset)
        sources.append(StagedSource(segment_id, segment_id, sorted(wanted[segment_id])))
    order = {held_in: position for position, held_in in enumerate(wanted)}
    return sorted(sources, key=lambda source: order[source.held_in])


def _narrowed(places: Sequence[RecordPlace], wanted: Mapping[str, Collection[int]]) -> Iterator[RecordPlace]:
    for place in places:
        sequences = set(wanted.get(place.journal_id, ()))
        if some := [batch for batch in place.batches if batch.sequence in sequences]:
            yield replace(place, batches=some)


def attach_records(
    connection: duckdb.DuckDBPyConnection, journals: JournalReader, dataset: str, places: Sequence[RecordPlace]
) -> list[StagedSource]:
    """Copy the rows of these records' batches out of the journals.

    Raises `UnreadableSegment` for a record that is damaged or missing, `RowsUnfit` for rows that DuckDB refuses, and
    what `reading_failed` gives.
    """
    copies: dict[tuple[str, RecordLayout], _Copy] = {}
    for place in places:
        try:
            record, rows = journals.read(place, dataset)
        except OSError as error:
            raise reading_failed(error, journals.path_of(place.journal_id), dataset) from error
        key = place.journal_id, record.layout
        if key not in copies:
            name = f"{dataset}/{place.journal_id}/{len(copies)}"
            copies[key] = _Copy.begin(connection, name, place.journal_id, dataset, record.layout)
        copies[key].add([(batch, rows[batch.batch_id]) for batch in place.batches])
    for copy in copies.values():
        copy.write()
    refused = {place: error for copy in copies.values() for place, error in copy.refused.items()}
    if refused:
        raise RowsUnfit(refused, dataset=dataset)
    return [StagedSource(copy.name, copy.journal_id, copy.sequences) for copy in copies.values()]


@dataclass(slots=True)
class _Copy:
    connection: duckdb.DuckDBPyConnection
    name: str
    journal_id: str
    dataset: str
    sequences: list[int] = field(default_factory=list)
    refused: dict[Place, str] = field(default_factory=dict)  # DuckDB's error about a batch's rows
    _gathered: list[tuple[StagedBatch, pa.Table]] = field(default_factory=list)
    _bytes: int = 0

    @classmethod
    def begin(
        cls, connection: duckdb.DuckDBPyConnection, name: str, journal_id: str, dataset: str, layout: RecordLayout
    ) -> _Copy:
        connection.execute(f"ATTACH ':memory:' AS {quote(name)}")
        create_rows_table(connection, name, layout.schema)
        connection.execute(f"CREATE TABLE {quote(name)}.segment AS SELECT ? AS schema", [schema_to_json(layout.schema)])
        return cls(connection, name, journal_id, dataset)

    def add(self, batches: Sequence[tuple[StagedBatch, pa.Table]]) -> None:
        self._gathered += batches
        self._bytes += sum(batch.bytes for batch, _ in batches)
        if self._bytes >= _COPIED_AT_ONCE:
            self.write()

    def write(self) -> None:
        """Copy the gathered rows."""
        gathered, self._gathered, self._bytes = self._gathered, [], 0
        if gathered:
            self._write(gathered)
            self.sequences += [batch.sequence for batch, _ in gathered]

    def _write(self, batches: Sequence[tuple[StagedBatch, pa.Table]]) -> None:
        """Rows that cannot be copied together are copied in halves, so that a refused batch is known by its place."""
        rows = marked_rows(batches)  # noqa: F841  # DuckDB reads it by its name
        try:
            with refused_rows_named(self.dataset):
                self.connection.execute(f"INSERT INTO {quote(self.name)}.rows BY NAME SELECT * FROM rows")
        except InvalidData as error:
            if len(batches) == 1:
                self.refused[self.journal_id, batches[0][0].sequence] = str(error)
                return
            self._write(batches[: len(batches) // 2])
            self._write(batches[len(batches) // 2 :])
