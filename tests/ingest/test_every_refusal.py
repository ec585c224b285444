"""Every call that refuses data is made by a case: it names the place, what was found there, and a way out."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.ingest import test_refusals, test_text_refusals
from tests.ingest.handing_over import batch
from tests.ingest.map_streams import BAD, GOOD, LISTED, MAP, stream
from tests.ingest.test_refusals import Case
from tests.ingest.text_files import read, said
from timestore_pipeline.errors import InvalidData, TimestoreError, UnreadableInput
from timestore_pipeline.ingest.formats.reading import UNKNOWN, Reading
from timestore_pipeline.ingest.formats.sources import open_source
from timestore_pipeline.ingest.normalize import read_arrow
from timestore_pipeline.ingest.values.interpret import interpret
from timestore_pipeline.ingest.values.policy import ValuePolicy
from timestore_pipeline.model import refusals
from timestore_pipeline.model.dataset import DatasetMetadata

PACKAGE = Path(refusals.__file__).parents[1]
MAKERS = {
    name: made
    for name, made in vars(refusals).items()
    if name.startswith(("refused_", "unreadable_")) or name in ("UnfitValue", "null_key", "too_many_digits")
}
ELSEWHERE = {  # module -> calls for what Arrow or Python says of damage, or of megabytes; tested beside their module
    "arrow_files.py": 1,
    "by_row.py": 1,
    "csv_blocks.py": 1,
    "csv_file.py": 2,
    "json_blocks.py": 2,
    "json_rows.py": 1,
}
SQL = duckdb.connect(config={"threads": 1})


@dataclass
class Refusal:
    """place, found and way_out: parts of the message and of the hint."""

    make: Callable[[Path], object]
    place: str
    found: str
    way_out: str


def memory(make: Callable[[], Any]) -> Callable[[Path], object]:
    return lambda _: Case(make(), "", "").stage()


def text(name: str, content: str | bytes, reading: Reading = UNKNOWN) -> Callable[[Path], object]:
    def make(folder: Path) -> object:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [table for _, table in open_source(path, reading).batches(10)]

    return make


def parquet(frame: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(folder: Path) -> object:
        frame(folder / "a.parquet")
        return [table for _, table in open_source(folder / "a.parquet").batches(10)]

    return make


def refuse_local(_: Path) -> object:
    policy = ValuePolicy.of(DatasetMetadata.parse({"schema": {"localTimestamps": "refuse"}}))
    return interpret(read_arrow(pa.table({"v": pa.array([0], pa.timestamp("us"))})), policy, None)


UNION = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1]), pa.array(["a"])])
OPAQUE = pa.ExtensionArray.from_storage(pa.opaque(pa.binary(), "thing", "vendor"), pa.array([b"1"]))
NULL_KEY = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a", None]))
MAPS = pa.MapArray.from_arrays(pa.array([0, 2], pa.int32()), NULL_KEY, pa.array([1, 2]))
GEOMETRY = "COPY (SELECT 'POINT(1 2)'::GEOMETRY AS v) TO '{}' (FORMAT parquet, GEOPARQUET_VERSION 'V2')"
HUGE = "170141183460469231731687303715884105727"
HUGE_EXTENSION = pa.opaque(pa.binary(16), "hugeint", "DuckDB")
HUGE_VALUES = pa.ExtensionArray.from_storage(
    HUGE_EXTENSION, pa.array([int(HUGE).to_bytes(16, "little")], pa.binary(16))
)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


CASES = {
    "an interval of Parquet": Refusal(
        parquet(lambda path: SQL.execute(f"COPY (SELECT INTERVAL 1 MONTH AS v) TO '{path}' (FORMAT parquet)")),
        "column 'v'",
        "INTERVAL",
        "months, days",
    ),
    "a shape of Parquet": Refusal(
        parquet(lambda path: SQL.execute(GEOMETRY.format(path))), "column 'v'", "GEOMETRY", "well-known text"
    ),
    "a variant of Parquet": Refusal(
        parquet(lambda path: SQL.execute(f"COPY (SELECT 1::VARIANT AS v) TO '{path}' (FORMAT parquet)")),
        "column 'v'",
        "VARIANT",
        "JSON text",
    ),
    "maps without any key": Refusal(memory(lambda: SQL.sql("SELECT MAP {} AS v")), "column 'v{key}'", "null", "cast"),
    "a header without a name": Refusal(text("a.csv", "a,\n1,2\n"), "line 1, column 2", "names no column", "a name"),
    "a name twice": Refusal(text("a.csv", "a,A\n1,2\n"), "line 1, column 2", "'A'", "rename"),
    "complex numbers": Refusal(memory(lambda: pd.DataFrame({"v": [1j]})), "column 'v'", "complex128", "imaginary"),
    "wide floats": Refusal(
        memory(lambda: pd.DataFrame({"v": np.array([0.1], np.longdouble)})), "column 'v'", "float", "float64"
    ),
    "objects of Polars": Refusal(
        memory(lambda: pl.DataFrame({"v": pl.Series([object()], dtype=pl.Object)})), "column 'v'", "Object", "pl.String"
    ),
    "a UHUGEINT": Refusal(
        memory(lambda: SQL.sql("SELECT 340282366920938463463374607431768211455::UHUGEINT AS v")),
        "column 'v', row 0",
        "340282366920938463463374607431768211455 was taken for decimal(38,0)",
        "text",
    ),
    "bits": Refusal(memory(lambda: SQL.sql("SELECT '01'::BIT AS v")), "column 'v'", "BIT of DuckDB", "VARCHAR"),
    "a UHUGEINT in a list": Refusal(
        memory(lambda: SQL.sql("SELECT [1::UHUGEINT] AS v")), "column 'v[]'", "UHUGEINT", "DECIMAL(38,0)"
    ),
    "a null key handed over": Refusal(
        memory(lambda: batch(MAP, LISTED, GOOD, BAD)),
        "column 'v{key}', one of rows 0 to 1",
        "null was taken for",
        "key",
    ),
    "a local time": Refusal(refuse_local, "column 'v'", "without a time zone", "schema.localTimestamps"),
    "deep rows": Refusal(text("a.json", '{"v": ' + "[" * 40 + "]" * 40 + "}"), "line 1", "nested deeper", "flatten"),
    "an array that breaks off": Refusal(text("a.json", '[{"v": 1}'), "line 1", "breaks off", "one array of objects"),
    "half of a surrogate pair": Refusal(
        text("a.json", '{"v": "\\ud800"}'), "line 1, column 'v'", "ud800", "whole characters"
    ),
    "a key twice": Refusal(text("a.json", '{"v": 1, "v": 2}'), "line 1, column 'v'", "twice", "every key once"),
    "no JSON": Refusal(text("a.json", '{"v": 1}\n{"v"}'), "line 2", "Expecting", "one JSON object per line"),
    "a line that is no object": Refusal(
        text("a.json", '{"v": 1}\n7'), "line 2", "'7' is not", "one JSON object per line"
    ),
    "thousands of keys": Refusal(
        text("a.json", '{"v": {' + ", ".join(f'"k{n}": 1' for n in range(2_001)) + "}}"),
        "line 1, column 'v'",
        "more than 2000 keys",
        "rows of their own",
    ),
    "a key of a map twice": Refusal(
        memory(lambda: pa.array([[("a", 1), ("a", 2)]], MAP)),
        "column 'v{key}', row 0",
        "'a' was taken for a key",
        "once",
    ),
    "a null key in a stream": Refusal(
        text("a.arrows", stream(MAP, LISTED, [GOOD, BAD])), "column 'v{key}', row 1", "null was taken for a key", "key"
    ),
    "a null key in a dictionary": Refusal(
        memory(lambda: MAPS), "column 'v{key}', row 0", "null was taken for a key", "key"
    ),
    "a HUGEINT by its name": Refusal(memory(lambda: HUGE_VALUES), "column 'v', row 0", f"{HUGE} was taken for", "text"),
    "a fraction": Refusal(
        memory(lambda: [Fraction(1, 3)]), "column 'v', row 0", "Fraction(1, 3) was taken for double", "decimal"
    ),
    "128 bits in a file": Refusal(
        parquet(lambda path: pl.DataFrame({"v": pl.Series([5], dtype=pl.Int128)}).write_parquet(path)),
        "column 'v'",
        "Int128",
        "Decimal(38, 0)",
    ),
    "another encoding's mark": Refusal(
        text("a.csv", "\ufeffv\n1\n".encode("utf-16-le")), "line 1, column 1", "UTF-16", "csv.encoding"
    ),
    "another encoding": Refusal(
        text("a.csv", "v\né\n".encode(), said(csv={"encoding": "ascii"})), "line 2", "is no ascii", "csv.encoding"
    ),
    "the mark of another encoding than the declared one": Refusal(
        text("a.csv", "\ufeffv\né\n".encode(), said(csv={"encoding": "windows-1252"})),
        "line 1, column 1",
        "the byte order mark of UTF-8, and is read as windows-1252",
        'csv.encoding to "utf-8"',
    ),
    "UTF-16 without its mark": Refusal(
        text("a.csv", "v\né\n".encode("utf-16-le"), said(csv={"encoding": "utf-16"})),
        "line 1",
        "is no utf-16",
        '"utf-16-le" or "utf-16-be"',
    ),
    "half of a surrogate pair in UTF-7": Refusal(
        text("a.csv", b"v\n+2AA-\n", said(csv={"encoding": "utf-7"})), "line 1", "surrogates", "csv.encoding"
    ),
    "another encoding of JSON": Refusal(
        text("a.json", '[{"v": 1}]'.encode("utf-16")), "line 1, column 1", "UTF-16", "one array of objects, in UTF-8"
    ),
    "a NUL byte": Refusal(
        text("a.csv", "v\n1\n".encode("utf-16-le")), "line 1, column 1", "NUL", 'csv.encoding to "utf-16-le"'
    ),
    "an integer that Python does not print": Refusal(
        memory(lambda: [10**5_000]), "column 'v', row 0", "a value of int that cannot be printed", "as text"
    ),
    "an object that cannot be printed": Refusal(
        memory(lambda: [1, Unprintable()]), "column 'v', row 1", "Unprintable that cannot be printed", "one kind"
    ),
    "a fraction beyond all doubles": Refusal(
        memory(lambda: [Fraction(10**400, 3)]), "column 'v', row 0", "Fraction(1000", "decimal"
    ),
    "a row behind another on its line": Refusal(
        text("a.ndjson", '{"v": 1}{"v": 5}\n\0 {"v": 7}\n'), "line 1", "Extra data", "one JSON object per line"
    ),
    "NaN in JSON": Refusal(text("a.json", '{"v": NaN}'), "line 1", "NaN is not JSON", "one JSON object per line"),
    "too many decimal places": Refusal(
        memory(lambda: pa.array([None], pa.decimal256(60, 40))), "column 'v'", "decimal256(60, 40)", "decimal places"
    ),
    "a union": Refusal(memory(lambda: UNION), "column 'v'", "union", "one column per type"),
    "an unknown extension": Refusal(memory(lambda: OPAQUE), "column 'v'", "vendor.thing", "storage"),
}


@contextmanager
def calls_noted(noted: set[tuple[str, int]]) -> Iterator[None]:
    """File and line of each call of a maker."""
    codes = {vars(made)["__init__"].__code__ if isinstance(made, type) else made.__code__ for made in MAKERS.values()}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in codes and frame.f_back is not None:
            noted.add((frame.f_back.f_code.co_filename, frame.f_back.f_lineno))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("name", CASES)
def test_it_says_where_what_and_the_way_out(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with pytest.raises((InvalidData, UnreadableInput)) as caught:
        case.make(tmp_path)
    assert case.place in str(caught.value)
    assert case.found in str(caught.value)
    assert case.way_out in caught.value.hint


def test_no_call_is_without_a_case(tmp_path: Path) -> None:
    noted: set[tuple[str, int]] = set()
    texts = test_text_refusals.test_a_refusal_says_all_four.pytestmark[0].args[1]  # type: ignore[attr-defined]
    makes = [case.make for case in CASES.values()]
    makes += [lambda _, case=case: case.stage() for case in test_refusals.CASES.values()]  # type: ignore[misc]
    makes += [lambda folder, row=row: read(folder / row[0], *row[1:3]) for row in texts]  # type: ignore[misc]
    for make in makes:
        with calls_noted(noted), pytest.raises(TimestoreError):
            make(tmp_path)
    left: dict[str, int] = {}
    for path in [*PACKAGE.glob("ingest/**/*.py"), *PACKAGE.glob("model/*.py")]:
        for call in _calls(path):
            lines = range(call.lineno, (call.end_lineno or call.lineno) + 1)
            if not any((str(path), line) in noted for line in lines):
                left[path.name] = left.get(path.name, 0) + 1
    assert left == ELSEWHERE


def _calls(path: Path) -> Iterator[ast.Call]:
    if path != Path(refusals.__file__):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                yield node
