"""The rows of one day, in dropped files and in the lake: a day in UTC, or of times without a zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.errors import InvalidInput
from timestore_pipeline.ingest.values.conform import conform
from timestore_pipeline.ingest.values.interpret import interpret
from timestore_pipeline.ingest.values.policy import ValuePolicy
from timestore_pipeline.staging.ledger.datasets import DatasetRecord


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one dataset."""

    column: str
    type: pa.DataType  # the dataset's
    first: pa.Scalar
    last: pa.Scalar  # inclusive
    policy: ValuePolicy  # how the dataset interprets times

    @classmethod
    def of(cls, record: DatasetRecord, day: date) -> Day:
        """Raise `InvalidInput` for a dataset without a time column: its rows belong to no day."""
        if record.time_column is None or record.schema is None:
            hint = "leave --day out to replay everything"
            raise InvalidInput(f"dataset {record.name!r} has no time column", dataset=record.name, hint=hint)
        type_ = record.schema.field(record.time_column).type
        ends = (datetime.combine(day, time.min), datetime.combine(day, time.max))
        first, last = (day, day) if pa.types.is_date(type_) else ends
        policy = ValuePolicy.of(record.metadata)
        return cls(record.time_column, type_, pa.scalar(first, type_), pa.scalar(last, type_), policy)

    def keep(self, table: pa.Table) -> pa.Table:
        """A file's rows of the day; its column may have another type, as long as the dataset accepts it."""
        if self.column not in table.column_names:
            return table.slice(0, 0)
        schema = pa.schema([(self.column, self.type)])
        plain = interpret(table.select([self.column]), self.policy, schema)
        times = conform(plain, schema, None, self.policy).column(0)
        return table.filter(pc.and_(pc.greater_equal(times, self.first), pc.less_equal(times, self.last)))

    def expression(self) -> pc.Expression:
        """The same condition for rows in the lake."""
        return (pc.field(self.column) >= self.first) & (pc.field(self.column) <= self.last)
