"""JSON becomes the rows that it holds, every digit of them, or is refused by line and path."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from time import process_time
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingest.text_files import declared, known, read, said
from timestore_pipeline.errors import InvalidData, TimestoreError, UnreadableInput
from timestore_pipeline.ingest.formats import json_blocks, json_file
from timestore_pipeline.ingest.formats.reading import UNKNOWN, Reading
from timestore_pipeline.ingest.formats.sources import open_source

AT = datetime(2013, 1, 1, 5, tzinfo=UTC)
Z = "2013-01-01T05:00:00Z"


def column(folder: Path, *values: str, reading: Reading = UNKNOWN) -> pa.ChunkedArray:
    """The column of these JSON texts."""
    return read(folder / "a.ndjson", "".join(f'{{"v": {value}}}\n' for value in values), reading).column("v")


def test_columns_are_the_union_of_all_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_blocks, "_PIECE_BYTES", 16)
    lines = [
        '{"n": 1, "at": "2013-01-01T05:00:00Z", "o": {"x": null}}',
        "",
        '{"n": 2.5, "o": {"x": [1], "y": "2013-01-01"}, "e": null}',
        '{"at": "2013-01-01T06:00:00.5+01:00", "b": "NA", "o": null}',
    ]
    table = read(tmp_path / "a.ndjson", "\r\n".join(lines))
    o = pa.struct([("x", pa.list_(pa.int64())), ("y", pa.string())])
    types = {"n": pa.float64(), "at": pa.timestamp("us", "UTC"), "o": o, "e": pa.null(), "b": pa.string()}
    assert table.schema.equals(pa.schema(list(types.items())))
    assert table.column("at").to_pylist() == [AT, None, AT.replace(microsecond=500_000)]
    assert table.column("o").to_pylist() == [{"x": None, "y": None}, {"x": [1], "y": "2013-01-01"}, None]
    assert table.column("b").to_pylist() == [None, None, "NA"]


@pytest.mark.parametrize("piece_bytes", [8, 1 << 20])
@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        (["1", "2", '"x"'], ("'x' is a string", "line 1 has a number")),
        (["[1]", "null", '{"x": 1}'], ("is a object", "line 1 has a list")),
        (["null", "true", "1"], ("1 is a number", "line 2 has a truth value")),
    ],
    ids=repr,
)
def test_a_column_of_mixed_kinds_is_refused_by_line_value_and_both_kinds(
    values: list[str], kinds: tuple[str, str], piece_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_blocks, "_PIECE_BYTES", piece_bytes)
    with pytest.raises(InvalidData, match=r"a\.ndjson, line 3, column 'v': ") as caught:
        column(tmp_path, *values)
    assert all(kind in str(caught.value) for kind in kinds)
    assert "one JSON object per line" not in caught.value.hint


@pytest.mark.parametrize(
    ("text", "path", "number"),
    [
        ('{"v": 12345678901234567890}', "v", "12345678901234567890"),
        ('{"v": 9007199254740993}\n{"v": 0.5}', "v", "9007199254740993"),
        ('{"o": {"id": 18446744073709551615}}', "o.id", "18446744073709551615"),
        ('{"o": [9007199254740993, 0.5]}', "o[]", "9007199254740993"),
        ('{"o": [{"x": 1.00000000000000000001}]}', "o[].x", "1.00000000000000000001"),
        ('{"v": 1e400}', "v", "1e400"),
        ('{"v": 1e-99999999999999999999}', "v", "1e-99999999999999999999"),
        ('{"v": ' + "9" * 5000 + "}", "v", "9" * 60),
    ],
)
@pytest.mark.parametrize("as_array", [False, True])
def test_a_number_that_would_lose_a_digit_is_refused_by_path(
    text: str, path: str, number: str, as_array: bool, tmp_path: Path
) -> None:
    content = f"[{text.replace(chr(10), ', ')}]" if as_array else text
    with pytest.raises(InvalidData) as caught:
        read(tmp_path / "a.json", content)
    assert (
        f"line 1, object 1, column {path!r}: {number}"
        if as_array
        else f"line 1, column {path!r}: {number}" in str(caught.value)
    )
    assert "declare the column decimal" in caught.value.hint


def test_numbers_that_a_double_keeps_are_doubles(tmp_path: Path) -> None:
    found = column(tmp_path, "1e5", "0.1", "1.50", "-0", "1E-7", "9007199254740992")
    assert repr(found.to_pylist()) == "[100000.0, 0.1, 1.5, -0.0, 1e-07, 9007199254740992.0]"


def test_a_decimal_column_keeps_digits_that_no_double_has(tmp_path: Path) -> None:
    values = ["12345678901234567890.25", "1", "null"]
    for reading in (known(v=pa.decimal128(38, 2)), declared(v="decimal(38,2)")):
        assert column(tmp_path, *values, reading=reading).to_pylist() == [
            Decimal("12345678901234567890.25"),
            Decimal(1),
            None,
        ]
    assert column(tmp_path, '"12.5"', reading=declared(v="decimal(10,2)")).to_pylist() == [Decimal("12.50")]
    assert column(tmp_path, "1.255", reading=known(v=pa.decimal128(38, 2))).type == pa.decimal128(38, 3)


@pytest.mark.parametrize("zero", ["-0", "-0.00", "-0e5"])
def test_a_decimal_column_takes_no_minus_zero_which_no_decimal_is(zero: str, tmp_path: Path) -> None:
    found = column(tmp_path, "1.5", zero, reading=known(v=pa.decimal128(38, 2)))
    assert repr(found.to_pylist()) == "[1.5, -0.0]"


def test_each_object_of_an_array_is_read_once(tmp_path: Path) -> None:
    """To copy the rest of the text for each takes twice the time for each row of twice the rows."""
    few, many = (_seconds(tmp_path, rows) / rows for rows in (10_000, 40_000))
    assert many < 2 * few


def _seconds(folder: Path, rows: int) -> float:
    """Of the processor, for an array of so many rows."""
    content = "[" + ",".join(['{"v":1}'] * rows) + "]"
    started = process_time()
    assert read(folder / "a.json", content).num_rows == rows
    return process_time() - started


def test_a_string_stays_a_string_unless_all_are_full_instants(tmp_path: Path) -> None:
    assert column(tmp_path, f'"{Z}"', "null").to_pylist() == [AT, None]
    for value in ("2013-01-01", "2013-01-01T05:00:00", "hello", "7", "true"):
        assert column(tmp_path, f'"{value}"').to_pylist() == [value]
        assert column(tmp_path, f'"{Z}"', f'"{value}"').to_pylist() == [Z, value]


def test_a_known_or_declared_column_is_read_as_what_it_is(tmp_path: Path) -> None:
    instant = pa.timestamp("us", "UTC")
    assert column(tmp_path, f'"{Z}"', reading=known(v=pa.string())).to_pylist() == [Z]
    assert column(tmp_path, '"2013-01-01 06:00+01"', reading=known(v=instant)).to_pylist() == [AT]
    assert column(tmp_path, "1", reading=known(v=pa.float64())).to_pylist() == [1.0]
    assert column(tmp_path, '"2013-01-01"', reading=declared(v="date")).to_pylist() == [date(2013, 1, 1)]
    assert column(tmp_path, '"7"', reading=known(v=pa.int64())).to_pylist() == ["7"]
    assert column(tmp_path, '"7"', reading=declared(v="int64")).to_pylist() == [7]


def test_a_column_declared_as_text_takes_numbers_as_they_are_written(tmp_path: Path) -> None:
    values = ["1.50", "null", "1e5", "-0", "7", "12345678901234567890123"]
    found = column(tmp_path, *values, reading=declared(v="string"))
    assert found.to_pylist() == [None if value == "null" else value for value in values]


def test_times_without_offset_are_utc_at_any_depth_where_the_dataset_says_so(tmp_path: Path) -> None:
    reading = said(schema={"localTimestamps": "utc", "columns": {"v": "list<timestamp>"}})
    assert column(tmp_path, f'["2013-01-01T05:00", "{Z}"]', reading=reading).to_pylist() == [[AT, AT]]


def test_the_time_column_may_be_a_date_or_a_local_time(tmp_path: Path) -> None:
    reading = Reading(time_column="v")
    assert column(tmp_path, '"2013-01-01"', reading=reading).type == pa.date32()
    assert column(tmp_path, '"2013-01-01 05:00"', reading=reading).type == pa.timestamp("us")


def test_values_inside_a_known_struct_are_read_as_its_fields(tmp_path: Path) -> None:
    type_ = pa.struct([("t", pa.timestamp("us", "UTC")), ("d", pa.decimal128(38, 1))])
    found = column(tmp_path, f'{{"t": "{Z}", "d": 9007199254740993}}', reading=known(v=type_))
    assert found.to_pylist() == [{"t": AT, "d": Decimal("9007199254740993.0")}]
    with pytest.raises(InvalidData, match=r"line 1, column 'v\.t': 'soon' is no timestamp"):
        column(tmp_path, '{"t": "soon"}', reading=known(v=type_))


def test_what_is_only_empty_or_null_has_a_type_that_waits(tmp_path: Path) -> None:
    table = read(tmp_path / "a.ndjson", '{"l": [], "p": {"q": null}, "n": null, "v": 1}\n')
    assert table.schema.field("l").type == pa.list_(pa.null())
    assert table.schema.field("p").type == pa.struct([("q", pa.null())])
    assert table.schema.field("n").type == pa.null()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[{"v": 1},\n {"v": 2, "s": "]\\n["}]'),
        ("a.json", '\n [ {"v" : 1}\n,{"v":2,\n"s":"]\\n["} ] \n'),
        ("a.ndjson", '\ufeff{"v": 1}\n{"v": 2, "s": "]\\n["}'),
        ("a.jsonl.gz", '{"v": 1}\r\n\r\n{"v": 2, "s": "]\\n["}\r\n'),
    ],
)
@pytest.mark.parametrize("piece_bytes", [3, 4 << 20])
def test_arrays_and_lines_are_told_apart_by_their_content(
    name: str, text: str, piece_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_blocks, "_PIECE_BYTES", piece_bytes)
    content = gzip.compress(text.encode()) if name.endswith(".gz") else text
    assert read(tmp_path / name, content).to_pylist() == [{"v": 1, "s": None}, {"v": 2, "s": "]\n["}]


@pytest.mark.parametrize(("name", "text"), [("a.json", "[]"), ("a.ndjson", "\n\n"), ("a.json", " [ ] \n")])
def test_no_rows_are_no_rows(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    source = open_source(tmp_path / name)
    assert (source.total_rows, list(source.batches(10))) == (0, [])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"v": 1}\n{"v": NaN}', "line 2: NaN is not JSON"),
        (b'{"v": 1}\n{"v": -Infinity}', "line 2: -Infinity is not JSON"),
        (b'{"v": 1}\n{"v": 1, "v": 2}', "line 2, column 'v': an object has this key twice"),
        (b'{"v": {"x": 1, "x": 1}}', "line 1, column 'x': an object has this key twice"),
        (b'{"v": 1}{"v": 2}', "line 1: Extra data"),
        (b'{"v": 1}\n{"v": 1', "line 2: "),
        (b'{"v": 1}\n[1]', "line 2: '[1]' is not an object"),
        (b"null", "line 1: 'null' is not an object"),
        (b'null {"v": 1}', "line 1: Extra data"),
        (b'{"v": 1}\n null', "line 2: 'null' is not an object"),
        (b'{"v": 1}null\n{"v":\n2}', "line 1: Extra data"),
        (b'{"v": "a"}\n{"v": "\xff"}', "line 2: 'utf-8' codec"),
        (rb'{"v": "\ud800"}', "line 1, column 'v': '\\ud800' holds half of a surrogate pair"),
        (rb'{"v": {"w": ["a", "\udc00"]}}', "line 1, column 'v.w[]': '\\udc00' holds half of a surrogate pair"),
        (rb'{"v": 1, "\ud800": 2}', r"line 1, column '\ud800': '\ud800' holds half of a surrogate pair"),
        (b'{"v": 01}', "line 1: "),
        (b"{}\n{}", "only rows without keys"),
        (b'{"v": 1}\n{"v": ' + b"[" * 40 + b"]" * 40 + b"}", "line 2: a row is nested deeper than 32 levels"),
        (b'[{"v": 1}, {"v": 2}', "line 1: it breaks off"),
        (b'[{"v": 1} {"v": 2}]', "line 1: ',' is expected"),
        (b'[{"v": 1},]', "line 1: "),
        (b'[{"v": 1}]\n[{"v": 1}]', "line 2: it goes on after the end of its array"),
        (b'[{"v": 1},\n 7]', "line 2, object 2: it is a number, not an object"),
        (b'["x"]', "line 1, object 1: it is a string, not an object"),
        (b'[{"v": 1},\n{"v": NaN}]', "line 2: NaN is not JSON"),
        (b"\xff\xfe[]", "UTF-16"),
        (b'[{"v": "\xff"}]', "no UTF-8"),
    ],
    ids=repr,
)
def test_what_is_no_json_is_refused_by_line(content: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises((InvalidData, UnreadableInput)) as caught:
        read(tmp_path / "a.json", content)
    assert told in str(caught.value)
    assert caught.value.hint


def test_brackets_beyond_all_measure_are_refused_unparsed(tmp_path: Path) -> None:
    for content in (b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", b"[" * 30_000 + b"]" * 30_000):
        with pytest.raises(TimestoreError, match="nested"):
            read(tmp_path / "a.json", content)


def test_a_file_without_line_ends_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_blocks, "_PIECE_BYTES", 16)
    monkeypatch.setattr(json_blocks, "_ROW_BYTES", 64)
    with pytest.raises(UnreadableInput, match="line 1: it is longer"):
        read(tmp_path / "a.json", '{"v": "' + "x" * 200 + '"}')
    with pytest.raises(UnreadableInput, match="longer than 64 bytes"):
        read(tmp_path / "a.json", '[{"v": "' + "x" * 200 + '"}]')


def test_instants_that_are_too_fine_are_refused_or_cut(tmp_path: Path) -> None:
    fine = '"2013-01-01T05:00:00.1234567Z"'
    with pytest.raises(InvalidData, match="line 2, column 'v'") as caught:
        column(tmp_path, "null", fine)
    assert "schema.subMicroseconds" in caught.value.hint
    cut = column(tmp_path, fine, reading=said(schema={"subMicroseconds": "truncate"}))
    assert cut.to_pylist() == [AT.replace(microsecond=123456)]


_LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(-(2**63), 2**63 - 1),
    "f": st.floats(allow_nan=False, allow_infinity=False),
    "b": st.booleans(),
    "s": st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from([Z, "2013-01-01", "1e5", "NaN"]),
}
_VALUES = {
    **_LEAVES,
    "l": st.lists(st.none() | _LEAVES["f"], max_size=3),
    "o": st.fixed_dictionaries({}, optional={name: st.none() | leaf for name, leaf in _LEAVES.items()}),
}
_ROWS = st.lists(
    st.fixed_dictionaries({"k": st.integers(0, 9)}, optional={name: st.none() | of for name, of in _VALUES.items()}),
    min_size=1,
    max_size=5,
)


@given(rows=_ROWS, as_array=st.booleans(), piece_bytes=st.sampled_from([7, 100, 4 << 20]))
def test_both_ways_of_reading_give_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], as_array: bool, piece_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    text = json.dumps(rows) if as_array else "\n".join(map(json.dumps, rows))
    found = []
    for exact in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_blocks, "_PIECE_BYTES", piece_bytes)
            if exact:
                patch.setattr(json_file, "_LOSSY", (re.compile(b""),))
            found.append(read(path, text))
    assert found[0].schema.equals(found[1].schema)
    assert repr(found[0].to_pylist()) == repr(found[1].to_pylist())
    for row, back in zip(rows, found[0].to_pylist(), strict=True):
        for name, value in row.items():
            assert _same(value, back[name]), (value, back[name])


def _same(sent: Any, back: Any) -> bool:
    if isinstance(back, datetime):
        return bool(sent == Z and back == AT)
    if isinstance(sent, dict):
        return (sent == {} and back is None) or all(_same(value, back[name]) for name, value in sent.items())
    if isinstance(sent, list):
        return len(sent) == len(back) and all(map(_same, sent, back))
    return repr(sent) == repr(back)
