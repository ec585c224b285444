"""Every refusal of a value names the column, the row, the value, what it was taken for, and the way out."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.normalize import read_arrow
from timestore_pipeline.ingest.values.conform import conform
from timestore_pipeline.ingest.values.interpret import interpret
from timestore_pipeline.ingest.values.policy import ValuePolicy
from timestore_pipeline.model.canonical import TIMESTAMP_UTC, canonical_schema
from timestore_pipeline.model.dataset import DatasetMetadata

AT = datetime(2026, 1, 1, tzinfo=UTC)
INT = pa.int64()


@dataclass
class Case:
    """`values`: the first is fine, the second is not; `known`: the dataset's type, None = that of the data."""

    values: Any
    shown: str
    taken_for: str
    path: str = "v"
    known: pa.DataType | None = None
    declared: str | None = None
    said: dict[str, str] = field(default_factory=dict)  # of the schema, beside what is declared

    def stage(self) -> None:
        columns = {} if self.declared is None else {"v": self.declared}
        spec = {"schema": {"columns": columns, **self.said}}
        policy = ValuePolicy.of(DatasetMetadata.parse(spec))
        known = None if self.known is None else pa.schema([("v", self.known)])
        plain = interpret(read_arrow(self.data()), policy, known)
        conform(plain, known or canonical_schema(plain.schema), None, policy)

    def data(self) -> Any:
        if isinstance(self.values, pa.Array):
            return pa.table({"v": self.values})
        return [{"v": value} for value in self.values] if isinstance(self.values, list) else self.values


def struct(array: pa.Array) -> pa.Array:
    return pa.StructArray.from_arrays([array], ["x"])


FINE = pa.array([1000, 1501], pa.timestamp("ns", "UTC"))
FAR = pa.array([0, 2**60], pa.timestamp("us"))
CASES = {
    "nanoseconds": Case(FINE, "1970-01-01 00:00:00.000001501Z (timestamp[ns, tz=UTC])", "timestamp[us, tz=UTC]"),
    "nanoseconds in a list": Case(
        pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), FINE), "501Z", "timestamp[us", "v[]"
    ),
    "nanoseconds in a map": Case(
        pa.MapArray.from_arrays(pa.array([0, 1, 2], pa.int32()), pa.array(["a", "b"]), FINE), "501Z", "time", "v{value}"
    ),
    "nanoseconds of a duration": Case(pa.array([0, 1], pa.duration("ns")), "1 (duration[ns])", "duration[us]"),
    "nanoseconds of pandas in rows": Case([pd.Timestamp(0), pd.Timestamp(1)], "00.000000001", "timestamp[us]"),
    "seconds that are microseconds": Case(
        pa.array([0, 1_767_225_600_000_000], pa.timestamp("s")), "1767225600000000 s since 1970", "timestamp[us]"
    ),
    "a year beyond 9999": Case(struct(FAR), "1152921504606846976 microseconds since 1970", "timestamp[us]", "v.x"),
    "a double that is not whole": Case(pa.array([1.0, 2.5]), "2.5 (double)", "int64", known=INT),
    "an integer that a double rounds": Case(pa.array([1, 2**53 + 1]), "9007199254740993", "double", known=pa.float64()),
    "too many decimal places": Case(
        pa.array([Decimal("1.50"), Decimal("1.25")]), "1.25", "decimal128(38, 1)", known=pa.decimal128(38, 1)
    ),
    "a decimal of 40 digits": Case([Decimal(1), Decimal(10**39)], str(10**39), "decimal128(38, 0)"),
    "an integer of 40 digits": Case([1, 10**39], str(10**39), "int"),
    "an integer of 39 digits from Polars": Case(
        pl.DataFrame({"v": pl.Series([1, 10**38], dtype=pl.Int128)}), str(10**38), "decimal(38,0)"
    ),
    "a HUGEINT of 39 digits": Case(
        duckdb.connect().sql("SELECT unnest([1, 170141183460469231731687303715884105727])::HUGEINT AS v"),
        "170141183460469231731687303715884105727",
        "decimal128(38, 0)",
    ),
    "text that is no UUID": Case(pa.array([str(uuid.UUID(int=1)), "x-1"]), "'x-1'", "a UUID", declared="uuid"),
    "bytes that are no UUID": Case(pa.array([bytes(16), b"ab"]), "b'ab'", "a UUID", declared="uuid"),
    "an epoch that is no instant": Case(
        pa.array([1.5, float("inf")]), "inf", "s since 1970", known=TIMESTAMP_UTC, declared="epoch_s"
    ),
    "an epoch with too many digits": Case(
        pa.array([1.5, 0.0000001]), "1e-07", "s since 1970", known=TIMESTAMP_UTC, declared="epoch_s"
    ),
    "an epoch in another unit": Case(
        pa.array([1, 1735689600000]), "1735689600000", "s since 1970", known=TIMESTAMP_UTC, declared="epoch_s"
    ),
    "a count beyond a day": Case(
        pa.array([1, 86_400_000_000]), "86400000000", "a time of day", known=pa.time64("us"), declared="time"
    ),
    "a time that rounds to the next day": Case(
        pa.array([0, 86_399_999_999_500], pa.time64("ns")),
        "23:59:59.999999500",
        "a time of day, which rounds to 24:00",
        said={"subMicroseconds": "round"},
    ),
    "a time of day with a zone": Case([time(1), time(2, tzinfo=UTC)], "datetime.time(2, 0, tzinfo", "a time of day"),
    "two kinds": Case([1, "x"], "'x'", "int"),
    "two kinds in a list": Case([[1], ["x"]], "'x'", "int", "v[]"),
    "local after aware": Case([AT, AT.replace(tzinfo=None)], "datetime.datetime(2026, 1, 1, 0, 0)", "datetime with"),
    "a class of its own": Case([None, object], "<class 'object'>", "type"),
    "a surrogate": Case(["a", "\ud800"], r"'\ud800'", "str"),
    "a key that is no string": Case([{"a": 1}, {1: 2}], "{1: 2}", "a mapping"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_names_column_row_value_meaning_and_way_out(name: str) -> None:
    case = CASES[name]
    with pytest.raises(InvalidData) as caught:
        case.stage()
    message = str(caught.value)
    assert message.startswith(f"column {case.path!r}, row 1: ")
    value, _, rest = message.removeprefix(f"column {case.path!r}, row 1: ").partition(" was taken for ")
    assert case.shown in value
    assert rest.startswith(case.taken_for)
    assert "\n" not in message
    assert caught.value.hint
    assert "UTF-8" not in caught.value.hint


def test_a_long_value_is_cut() -> None:
    with pytest.raises(InvalidData) as caught:
        Case(pa.array(["x" * 10_000]), "", "", declared="uuid").stage()
    assert len(str(caught.value)) < 500
