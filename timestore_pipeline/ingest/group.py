"""Batches of one dataset that are acknowledged together: their journal record, and the schema they were fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from timestore_pipeline.ingest.catalog import fitted_to
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.ingest.values.extents import extents_of
from timestore_pipeline.model.batch import Extent, Extents, StagedBatch, batch_id, new_id
from timestore_pipeline.staging.journal_records import Encoded, Record, RecordLayout, encode
from timestore_pipeline.staging.ledger.schema_changes import Basis
from timestore_pipeline.system import clock

_ROWS_OF_A_PIECE = 500  # copying more together costs more than it saves


@dataclass(slots=True)
class Seen:
    """What this process remembers of a dataset between commits."""

    newest: int = 0  # version of the schema that this process has seen change last
    noted: Extents | None = field(default_factory=dict)  # extents that the ledger has; None = it needs none any more
    journal_id: str = ""  # the journal that the next two are for
    stream_id: str = ""  # of the dataset's batches in that journal
    next_sequence: int = 0

    def begin(self, journal_id: str) -> None:
        """Continue in another journal."""
        self.journal_id, self.stream_id, self.next_sequence = journal_id, new_id(), 0

    def take_sequence(self) -> int:
        """The next batch's position; never used twice, also when its append fails."""
        sequence, self.next_sequence = self.next_sequence, self.next_sequence + 1
        return sequence


@dataclass(slots=True)
class Group:
    """The batches of one record."""

    batches: Sequence[QueuedBatch]
    promised: Sequence[StagedBatch]
    rows: pa.Table  # of all of them
    written: Encoded

    @classmethod
    def encoded(cls, seen: Seen, batches: Sequence[QueuedBatch]) -> Group:
        """One record of all batches, in the newest schema that one of them was fitted to."""
        newest = max((batch.record for batch in batches), key=lambda record: record.schema_version)
        assert newest.schema is not None, "a dataset that accepted rows has a schema"
        tables = [_in_columns_of(newest.schema, batch) for batch in batches]
        now = clock.now()
        promised = [_staged(seen, batch, now) for batch in batches]
        rows = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
        if len(tables) > 1 and rows.num_rows < _ROWS_OF_A_PIECE * len(tables):
            rows = rows.combine_chunks()  # each piece takes space and is read by itself
        layout = RecordLayout(newest.schema, newest.time_column, newest.granularity)
        return cls(batches, promised, rows, encode(Record(newest.name, layout, promised, rows)))

    def basis(self, noted: Extents | None) -> Basis:
        """What the group was fitted to; of several, to the oldest. noted: as in `Seen`."""
        changed = min(batch.fitted.times_changed for batch in self.batches)
        news: Extents = {}
        if noted is not None:
            reached = {path: noted.get(path, Extent()) | extent for path, extent in extents_of(self.rows).items()}
            news = {path: extent for path, extent in reached.items() if noted.get(path) != extent}
        return Basis(self.batches[0].dataset, changed, self.batches[0].fitted.change, news)


def _staged(seen: Seen, batch: QueuedBatch, now: datetime) -> StagedBatch:
    sequence = seen.take_sequence()
    return StagedBatch(
        batch_id=batch.batch_id or batch_id(seen.stream_id, sequence),
        sequence=sequence,
        rows=batch.rows.num_rows,
        bytes=batch.bytes,
        staged_at=now,
        idempotency_key=batch.idempotency_key,
    )


def _in_columns_of(schema: pa.Schema, batch: QueuedBatch) -> pa.Table:
    """The batch's rows in a schema that may be newer than the one they were conformed to."""
    if schema is batch.record.schema or schema.equals(batch.record.schema):
        return batch.rows
    return fitted_to(schema, batch.record, batch.source)
