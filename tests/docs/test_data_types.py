"""The table of docs/data-types.md is what happens: every type that it names is staged, and gives the type it says."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import Schema

from tests.docs.documents import ROOT
from timestore_pipeline.ingest.formats.sources import open_source
from timestore_pipeline.ingest.normalize import read_arrow
from timestore_pipeline.ingest.values.data_frames import DUCKDB_REMEDIES
from timestore_pipeline.ingest.values.interpret import interpret
from timestore_pipeline.ingest.values.policy import DEFAULT_POLICY
from timestore_pipeline.model.canonical import canonical_schema, stored_schema
from timestore_pipeline.model.declared import type_text
from timestore_pipeline.model.source_types import EXTENSIONS, REMEDIES

PAGE = (ROOT / "docs" / "data-types.md").read_text()
AT, ID = datetime(2026, 1, 1, tzinfo=UTC), uuid.UUID(int=1)
LOCAL = AT.replace(tzinfo=None)
HUGEINT, UHUGEINT = pa.opaque(pa.binary(16), "hugeint", "DuckDB"), pa.opaque(pa.binary(16), "uhugeint", "DuckDB")

ARROW = [
    pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.float16(),
    pa.float32(), pa.float64(), pa.uint64(), pa.decimal32(5, 2), pa.decimal64(9, 2), pa.decimal128(20, 2),
    pa.decimal256(50, 2), pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
    pa.binary_view(), pa.binary(4), pa.date32(), pa.date64(), pa.timestamp("s", "UTC"),
    pa.timestamp("us", "Asia/Tokyo"), pa.timestamp("ns", "UTC"), pa.timestamp("s"), pa.timestamp("us"),
    pa.timestamp("ns"), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.duration("s"),
    pa.duration("ms"), pa.duration("us"), pa.duration("ns"), pa.struct([("x", pa.int8())]),
    pa.map_(pa.string(), pa.int8()), pa.list_(pa.int8()), pa.large_list(pa.int8()), pa.list_view(pa.int8()),
    pa.large_list_view(pa.int8()), pa.list_(pa.int8(), 2), pa.bool8(), pa.json_(), pa.uuid(), HUGEINT, UHUGEINT,
]  # fmt: skip
PYTHON: dict[str, Any] = {
    "bool": True, "int": 1, "int beyond 64 bits": 2**70, "float": 1.5, "Decimal": Decimal("1.25"), "str": "a",
    "UUID": ID, "bytes": b"a", "date": date(2026, 1, 1), "datetime with time zone": AT, "datetime": LOCAL,
    "time": time(1), "timedelta": timedelta(1), "list": [1], "tuple": (1,), "set": {1}, "dict": {"x": 1},
}  # fmt: skip
PANDAS: dict[str, Any] = {
    **{name: pd.Series([1], dtype=name) for name in ("int64", "Int64", "uint8", "uint64", "int64[pyarrow]")},
    **{name: pd.Series([1.5], dtype=name) for name in ("float32", "float64", "Float64")},
    **{name: pd.Series([True], dtype=name) for name in ("bool", "boolean")},
    **{name: pd.Series(["a"], dtype=name) for name in ("str", "string")},
    **{name: pd.Series([AT if "UTC" in name else LOCAL], dtype=name)
    for name in ("datetime64[ns, UTC]", "datetime64[ns]")},
    "timedelta64[ns]": pd.Series([timedelta(1)], dtype="timedelta64[ns]"),
    **{name: pd.Series([PYTHON[name]], dtype=object) for name in ("UUID", "bytes", "date", "time", "list", "dict")},
}  # fmt: skip
POLARS: dict[str, pl.Series] = {
    "Boolean": pl.Series([True]),
    **{name: pl.Series([1], dtype=getattr(pl, name))
    for name in ("Int8", "Int64", "UInt32", "UInt64", "Int128", "UInt128")},
    **{name: pl.Series([1.5], dtype=getattr(pl, name)) for name in ("Float32", "Float64")},
    "Decimal(9,2)": pl.Series([Decimal("1.25")], dtype=pl.Decimal(9, 2)),
    "String": pl.Series(["a"]), "Enum": pl.Series(["a"], dtype=pl.Enum(["a"])),
    "Categorical": pl.Series(["a"], dtype=pl.Categorical), "Binary": pl.Series([b"a"]),
    "Date": pl.Series([AT.date()]),
    "Datetime(time_zone)": pl.Series([AT]), "Datetime": pl.Series([LOCAL]), "Time": pl.Series([time(1)]),
    "Duration": pl.Series([timedelta(1)]), "List": pl.Series([[1]]),
    "Array": pl.Series([[1]], dtype=pl.Array(pl.Int8, 1)),
    "Struct": pl.Series([{"x": 1}]),
}  # fmt: skip
DUCKDB: dict[str, str] = {
    "BOOLEAN": "true", **dict.fromkeys(("TINYINT", "BIGINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT"), "1"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "1.5"), "DECIMAL(9,2)": "1.25", "VARCHAR": "'a'", "JSON": "'{}'",
    "UUID": f"'{ID}'", "ENUM": "'a'::ENUM('a')", "BLOB": "'a'", "DATE": "'2026-01-01'", "TIME": "'01:00:00'",
    **dict.fromkeys(("TIMESTAMPTZ", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_S"), "'2026-01-01 00:00:00'"),
    "INTEGER[]": "[1]", "INTEGER[3]": "[1, 2, 3]", "STRUCT": "{'x': 1}", "MAP": "MAP {'k': 1}",
}  # fmt: skip
PARQUET: dict[str, pa.Array] = {
    "BOOLEAN": pa.array([True]), "INT32": pa.array([1], pa.int32()), "INT64": pa.array([1]),
    "FLOAT": pa.array([1.5], pa.float32()),
    "DOUBLE": pa.array([1.5]), "UINT_64": pa.array([1], pa.uint64()),
    "DECIMAL(9,2)": pa.array([Decimal("1.25")], pa.decimal128(9, 2)),
    "STRING": pa.array(["a"]), "UUID": pa.array([ID]), "JSON": pa.array(["{}"], pa.json_()),
    "BYTE_ARRAY": pa.array([b"a"]),
    "DATE": pa.array([AT.date()]), "TIMESTAMP(UTC)": pa.array([AT]), "TIMESTAMP": pa.array([LOCAL]),
    "INT96": pa.array([LOCAL]),
    "TIME": pa.array([time(1)]), "LIST": pa.array([[1]]),
    "MAP": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
    "group": pa.array([{"x": 1}]),
}  # fmt: skip
_WRITTEN_OUT = ("list", "struct", "map", "large_list", "list_view", "large_list_view", "fixed_size_list")


def arrow_name(type_: pa.DataType) -> str:
    if isinstance(type_, pa.OpaqueType):
        return f"{type_.vendor_name}.{type_.type_name}"
    if isinstance(type_, pa.BaseExtensionType):
        return str(type_.extension_name)
    text = str(type_)
    return text.partition("<")[0] if text.partition("<")[0] in _WRITTEN_OUT else text


def arrow(name: str, _: Path) -> object:
    [type_] = [type_ for type_ in ARROW if arrow_name(type_) == name]
    return pa.table({"v": pa.nulls(1, type_)})


def from_duckdb(name: str, _: Path) -> object:
    return duckdb.connect().sql(
        f"SELECT {DUCKDB[name]}{f'::{name}' if name not in ('STRUCT', 'MAP', 'ENUM') else ''} AS v"
    )


def from_parquet(name: str, folder: Path) -> object:
    path = folder / "f.parquet"
    pq.write_table(
        pa.table({"v": PARQUET[name]}), path, store_schema=False, use_deprecated_int96_timestamps=name == "INT96"
    )
    return next(table for _, table in open_source(path).batches(1))


SOURCES: dict[str, tuple[list[str], Callable[[str, Path], object]]] = {
    "Arrow": ([arrow_name(type_) for type_ in ARROW], arrow),
    "Python, in rows": (list(PYTHON), lambda name, _: [{"v": PYTHON[name]}]),
    "pandas": (list(PANDAS), lambda name, _: pd.DataFrame({"v": PANDAS[name]})),
    "Polars": (list(POLARS), lambda name, _: pl.DataFrame({"v": POLARS[name]})),
    "DuckDB": (list(DUCKDB), from_duckdb),
    "Parquet": (list(PARQUET), from_parquet),
}


def rows() -> Iterator[dict[str, str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    head = cells(lines[0])
    for line in lines[2:]:
        if line.startswith("| type |"):
            return
        yield dict(zip(head, cells(line), strict=True))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def names(cell: str) -> list[str]:
    """A word after a name belongs to it; plain words alone are names, too."""
    found = [f"{name}{rest.rstrip()}" for name, rest in re.findall(r"`([^`]+)`((?: [a-z0-9 ]+)?)", cell)]
    return found or ([cell] if cell in ("group",) else [])


PUBLISHED = {row["published as"].strip("`"): row for row in rows()}
CASES = [
    (source, name, published)
    for published, row in PUBLISHED.items()
    for source in SOURCES
    for name in names(row[source])
]  # fmt: skip


@pytest.mark.parametrize(("source", "name", "published"), CASES, ids=lambda value: value)
def test_each_type_is_published_as_the_page_says(source: str, name: str, published: str, tmp_path: Path) -> None:
    known, make = SOURCES[source]
    assert name in known
    schema = canonical_schema(interpret(read_arrow(make(name, tmp_path)), DEFAULT_POLICY, None).schema)
    assert type_text(schema.field("v").type).replace("(38,2)", "(38,s)") == published
    delta = json.loads(Schema.from_arrow(stored_schema(schema)).to_json())["fields"][0]["type"]
    assert (delta if isinstance(delta, str) else delta["type"]) == PUBLISHED[published]["Delta type"].strip("`")


@pytest.mark.parametrize("source", SOURCES)
def test_no_type_that_is_taken_is_missing_on_the_page(source: str) -> None:
    assert sorted(SOURCES[source][0]) == sorted(name for where, name, _ in CASES if where == source)


def test_every_type_that_is_refused_by_name_is_on_the_page() -> None:
    missing = [name for name in REMEDIES if f"`{name}`" not in PAGE]
    assert missing == []
    assert all(word in PAGE for word in ("BIT", "TIMETZ", "bignum")), DUCKDB_REMEDIES


def test_every_extension_type_that_is_taken_is_on_the_page() -> None:
    assert [name for name in EXTENSIONS if f"`{name}`" not in PAGE] == []
