"""Every refusal of a value in text says where it stands, as it stands there, what it was taken for, and a way out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.ingest.text_files import declared, known, read, said
from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.formats.reading import UNKNOWN, Reading

_FINE = "2013-01-01T05:00:00.1234567Z"
_STRUCT = pa.struct([("t", pa.timestamp("us", "UTC"))])


@pytest.mark.parametrize(
    ("name", "content", "reading", "where", "value", "taken_for", "way_out"),
    [
        (
            "a.csv",
            "w,v\n1,x\n",
            declared(v="double"),
            "line 2, column 'v'",
            "'x'",
            "declared as double",
            "schema.columns",
        ),
        ("a.csv", "w,v\n1,25:00\n", declared(v="time"), "line 2, column 'v'", "'25:00'", "time", "schema.columns"),
        (
            "a.csv",
            "w,v\n1,12:30:15.1234567\n",
            declared(v="time"),
            "line 2, column 'v'",
            "12:30:15.1234567",
            "microseconds",
            "schema.subMicroseconds",
        ),
        (
            "a.csv",
            "w,v\n1,23:59:59.9999995\n",
            said(schema={"subMicroseconds": "round", "columns": {"v": "time"}}),
            "line 2, column 'v'",
            "23:59:59.9999995",
            "24:00",
            "truncate",
        ),
        ("a.csv", f"w,v\n1,{_FINE}\n", UNKNOWN, "line 2, column 'v'", _FINE, "microseconds", "schema.subMicroseconds"),
        ("a.csv", "w;v\n1;1,5\n", UNKNOWN, "line 2, column 'v'", "'1,5'", "decimal comma", "csv.decimal"),
        ("a.csv", "a;b,c\n1;2,3\n", UNKNOWN, "line 1", "'a;b,c'", "separated by", "csv.delimiter"),
        ("a.csv", '[{"v": 1}]\n', UNKNOWN, "line 1", "header", "JSON", "application/json"),
        ("a.csv", '{"v": 1, "w": 2}\n{"v": 3, "w": 4}\n', UNKNOWN, "line 1", "header", "JSON", ".ndjson"),
        ("a.csv", ",v\n7,1\n", UNKNOWN, "line 2, column 1", "'7'", "count of the rows", "header"),
        ("a.csv", 'w,v\n1,"a\n2,b\n', UNKNOWN, "line 2, column 2", "'\"a", "quote", "close every quote"),
        ("a.csv", "1,2\n", said(csv={"header": False}), "line 1", "2 fields", "0 columns", "schema.columns"),
        ("a.json", '{"v": 1}\n{"v": "x"}', UNKNOWN, "line 2, column 'v'", "'x'", "string", "one kind of value"),
        ("a.json", '{"v": {"w": 1e400}}', UNKNOWN, "line 1, column 'v.w'", "1e400", "double", "schema.columns"),
        ("a.json", '{"v": {"t": "soon"}}', known(v=_STRUCT), "line 1, column 'v.t'", "'soon'", "timestamp", "ISO 8601"),
        (
            "a.json",
            '{"v": "x"}',
            declared(v="int64"),
            "line 1, column 'v'",
            "'x'",
            "declared as int64",
            "schema.columns",
        ),
        (
            "a.json",
            f'{{"v": "{_FINE}"}}',
            UNKNOWN,
            "line 1, column 'v'",
            _FINE,
            "microseconds",
            "schema.subMicroseconds",
        ),
        ("a.json", '[{"v": 1},\n7]', UNKNOWN, "line 2, object 2", "a number", "not an object", "one array of objects"),
    ],
    ids=range(18),
)
def test_a_refusal_says_all_four(
    name: str, content: str, reading: Reading, where: str, value: str, taken_for: str, way_out: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidData) as caught:
        read(tmp_path / name, content, reading)
    for part in (where, value, taken_for):
        assert part in str(caught.value)
    assert way_out in caught.value.hint


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    with pytest.raises(InvalidData) as caught:
        read(tmp_path / "a.csv", "w,v\n1," + "x" * 5_000 + "\n", declared(v="double"))
    assert f"'{'x' * 60}…'" in str(caught.value)
    assert len(str(caught.value)) < 500
