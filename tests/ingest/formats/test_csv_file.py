"""A CSV becomes the rows that it holds, in types that lose nothing of them, or is refused by line and column."""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingest.text_files import declared, known, read, said
from timestore_pipeline.errors import InvalidData, TimestoreError, UnreadableInput
from timestore_pipeline.ingest.formats import csv_blocks, csv_file
from timestore_pipeline.ingest.formats.csv_file import CsvFile
from timestore_pipeline.ingest.formats.reading import UNKNOWN, Reading

AT = datetime(2013, 1, 1, 5, tzinfo=UTC)
Z = "2013-01-01T05:00:00Z"


def column(folder: Path, *cells: str, reading: Reading = UNKNOWN) -> pa.ChunkedArray:
    return read(folder / "a.csv", "v,w\n" + "".join(f"{cell},1\n" for cell in cells), reading).column("v")


def notes(path: Path, content: str, reading: Reading = UNKNOWN) -> list[str]:
    path.write_text(content)
    return [note.text for note in CsvFile(path, reading).notes]


@pytest.mark.parametrize(
    ("cells", "type_", "values"),
    [
        (["1", "-2", ""], pa.int64(), [1, -2, None]),
        (["NA", "1"], pa.string(), ["NA", "1"]),
        (["1", "2.5", "NaN"], pa.float64(), None),
        (["1e3", "2"], pa.string(), ["1e3", "2"]),
        (["12345678901234567890", "1"], pa.decimal128(38, 0), [Decimal(12345678901234567890), Decimal(1)]),
        (["9007199254740993", "0.5"], pa.decimal128(38, 1), [Decimal("9007199254740993.0"), Decimal("0.5")]),
        (["true", "false"], pa.bool_(), [True, False]),
        (["true", "FALSE"], pa.string(), ["true", "FALSE"]),
        (["2013-01-01", ""], pa.date32(), [date(2013, 1, 1), None]),
        (["2013-01-01 05:00:00", "2013-01-02"], pa.timestamp("us"), None),
        ([Z, "2013-01-01 06:00:00+01", "2013-01-01T06:00+0100"], pa.timestamp("us", "UTC"), [AT, AT, AT]),
        (["2013-01-01T05:00:00.123456000"], pa.timestamp("us"), [datetime(2013, 1, 1, 5, 0, 0, 123456)]),
        ([Z, "2013-01-01"], pa.string(), [Z, "2013-01-01"]),
        (["2013-02-30"], pa.string(), ["2013-02-30"]),
        (["2013-01-01 05"], pa.string(), ["2013-01-01 05"]),
        (["007", "8"], pa.string(), ["007", "8"]),
        (["0x1f", "0x2a"], pa.string(), ["0x1f", "0x2a"]),
        (["1", "true"], pa.string(), ["1", "true"]),
        (["x", '""', ""], pa.string(), ["x", "", None]),
        (["1", '""'], pa.string(), ["1", ""]),
        (['"1"', '"2"'], pa.int64(), [1, 2]),
        (['"a\nb"', '"say ""hi"""', '5" pipe'], pa.string(), ["a\nb", 'say "hi"', '5" pipe']),
        (["", ""], pa.null(), [None, None]),
    ],
    ids=repr,
)
def test_a_column_gets_a_type_only_where_nothing_is_lost(
    cells: list[str], type_: pa.DataType, values: list[Any] | None, tmp_path: Path
) -> None:
    found = column(tmp_path, *cells)
    assert found.type == type_
    assert values is None or found.to_pylist() == values


@pytest.mark.parametrize(
    ("type_", "cells", "values"),
    [
        (pa.string(), ["0123", "2026-01-01", "true"], ["0123", "2026-01-01", "true"]),
        (pa.float64(), ["14", "1e5", "NaN"], None),
        (pa.decimal128(38, 2), ["1.5", "2.500", "3"], [Decimal("1.50"), Decimal("2.50"), Decimal(3)]),
        (pa.timestamp("us", "UTC"), ["2013-01-01 06:00+01:00", ""], [AT, None]),
        (pa.bool_(), ["true", "FALSE"], [True, False]),
    ],
    ids=repr,
)
def test_a_known_column_is_parsed_as_what_it_is(
    type_: pa.DataType, cells: list[str], values: list[Any] | None, tmp_path: Path
) -> None:
    found = column(tmp_path, *cells, reading=known(v=type_))
    assert found.type == type_
    assert values is None or found.to_pylist() == values


@pytest.mark.parametrize(
    ("type_", "cells", "found"),
    [
        (pa.int64(), ["1", "2.5"], pa.float64()),
        (pa.int64(), ["1", "x"], pa.string()),
        (pa.decimal128(38, 1), ["1.5", "1.25"], pa.decimal128(38, 2)),
        (pa.date32(), ["2013-01-01", "2013-01-01 05:00"], pa.timestamp("us")),
        (pa.float64(), ["1.5", "007"], pa.string()),
        (pa.bool_(), ["1", "0"], pa.int64()),
        (pa.timestamp("us", "UTC"), ["2013-01-01 05:00"], pa.timestamp("us")),
    ],
    ids=repr,
)
def test_a_known_column_that_cannot_be_read_so_is_settled_by_its_cells_and_says_which_did_it(
    type_: pa.DataType, cells: list[str], found: pa.DataType, tmp_path: Path
) -> None:
    assert column(tmp_path, *cells, reading=known(v=type_)).type == found
    [note] = notes(tmp_path / "b.csv", "v,w\n" + "".join(f"{cell},1\n" for cell in cells), known(v=type_))
    assert f"line {len(cells) + 1} has {cells[-1]!r}" in note or len(cells) == 1 or type_ == pa.bool_()


@pytest.mark.parametrize(
    ("type_", "cells", "values"),
    [
        ("int64", ["007", "+7", "-07", "7.", "7.00"], [7, 7, -7, 7, 7]),
        ("double", ["0.10000000000000001", "1e5", "007.5", "NaN"], None),
        ("double", [".5", "-.5", "+05.", "1.e3"], [0.5, -0.5, 5.0, 1000.0]),
        ("double", ["Infinity", "-INF", "+inf"], [inf, -inf, inf]),
        ("decimal(10,2)", [".5", "-5."], [Decimal("0.5"), Decimal(-5)]),
        ("bool", ["1", "0", "True"], [True, False, True]),
        ("string", ["1.50", "true"], ["1.50", "true"]),
        ("decimal(10,3)", ["1.5", "12345.678"], [Decimal("1.5"), Decimal("12345.678")]),
        ("epoch_ms", ["1357016400000"], [1357016400000]),
        ("uuid", ["0F8FAD5BD9CB469FA16570867728950E"], ["0f8fad5b-d9cb-469f-a165-70867728950e"]),
        ("time", ["12:30", "12:30:00.5"], None),
        ("duration", ["PT1M0.5S", "60500000", "-P1DT1H"], None),
        ("timestamp", [Z], [AT]),
        ("timestamp", ["2013-01-01", Z], [AT.replace(hour=0), AT]),
        ("local_timestamp", ["2013-01-01", "2013-01-01 05:00"], None),
    ],
    ids=repr,
)
def test_a_declared_column_takes_its_owners_word(
    type_: str, cells: list[str], values: list[Any] | None, tmp_path: Path
) -> None:
    found = column(tmp_path, *cells, reading=declared(v=type_))
    assert values is None or found.to_pylist() == values


@pytest.mark.parametrize("declared_type", [None, "timestamp"])
def test_times_without_offset_are_utc_in_a_column_of_instants_where_the_dataset_says_so(
    declared_type: str | None, tmp_path: Path
) -> None:
    columns = {"v": declared_type} if declared_type else {}
    reading = said(schema={"localTimestamps": "utc", "columns": columns})
    reading = replace(reading, schema=pa.schema([("v", pa.timestamp("us", "UTC"))]))
    found = column(tmp_path, "2013-01-01 05:00", Z, "2013-01-01T06:00:00+01:00", "", "2013-01-01", reading=reading)
    assert found.to_pylist() == [AT, AT, AT, None, AT.replace(hour=0)]


def test_times_of_day_and_durations_are_exact_microseconds(tmp_path: Path) -> None:
    cells = column(tmp_path, "12:30:00.5", reading=declared(v="time"))
    assert cells.cast(pa.int64()).to_pylist() == [45_000_500_000]
    cells = column(tmp_path, "PT1M0.5S", "-P1DT1H", "7", reading=declared(v="duration"))
    assert cells.cast(pa.int64()).to_pylist() == [60_500_000, -90_000_000_000, 7]


@pytest.mark.parametrize(
    ("type_", "cell"),
    [("int64", "x"), ("int64", "1.5"), ("int64", "9" * 20), ("double", "1,5"), ("double", "1e999"), ("bool", "yes"),
     ("decimal(10,1)", "1.25"), ("date", "1.1.2013"), ("timestamp", "2013-01-01 05:00"), ("int64", "."),
     ("timestamp", "9999-12-31T23:00:00-05:00"), ("date", "0000-01-01"), ("double", "."), ("int64", "-0.0"),
     ("uuid", "x"), ("time", "25:00"), ("duration", "P1Y"), ("duration", "P"), ("epoch_s", "1.5e3"), ("epoch_s", "+1"),
     ("epoch_s", "1.0000000000001"), ("list<double>", "1")],
)  # fmt: skip
def test_a_cell_that_is_not_as_declared_is_refused_by_line_column_and_value(
    type_: str, cell: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidData, match=r"line 3, column 'v': ") as caught:
        column(tmp_path, "", f'"{cell}"', reading=declared(v=type_))
    assert repr(cell) in str(caught.value)
    assert "declared as" in str(caught.value)
    assert "schema.columns" in caught.value.hint


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_marks_and_blank_lines_at_the_end_make_no_rows(line_end: str, tmp_path: Path) -> None:
    for end in ("", line_end, line_end * 3):
        text = line_end.join(["﻿v,w", "1,a", '2,"b"']) + end
        assert read(tmp_path / "a.csv", text).to_pylist() == [{"v": 1, "w": "a"}, {"v": 2, "w": "b"}]


def test_parts_that_were_packed_one_by_one_are_read_as_one(tmp_path: Path) -> None:
    packed = gzip.compress(b"v,w\n1,") + gzip.compress(b'"a\nb"\n')
    assert read(tmp_path / "a.csv.gz", packed).to_pylist() == [{"v": 1, "w": "a\nb"}]


@pytest.mark.parametrize(
    ("text", "delimiter"), [("a;b\n1;2\n", ";"), ("a\tb\n1\tx, y\n", "\t"), ("a|b\n1|2\n", "|"), ("a;b\n", ";")]
)
def test_another_delimiter_is_recognised_where_the_file_can_be_nothing_else(
    text: str, delimiter: str, tmp_path: Path
) -> None:
    assert read(tmp_path / "a.csv", text).column_names == ["a", "b"]
    assert f"separated by {delimiter!r}" in notes(tmp_path / "a.csv", text)[0]


@pytest.mark.parametrize("text", ["at;v,kW\n2013-01-01;1,5\n", "a;b|c\n", "a,b;c\n1,2;3\n"])
def test_a_delimiter_that_is_a_guess_is_asked_for(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"line 1.*may be separated by") as caught:
        read(tmp_path / "a.csv", text)
    assert "csv.delimiter" in caught.value.hint


def test_decimal_commas_are_numbers_only_where_they_are_declared(tmp_path: Path) -> None:
    text = "at;v\n2013-01-01;1,5\n2013-01-02;-0,25\n"
    with pytest.raises(InvalidData, match=r"line 2, column 'v': '1,5'") as caught:
        read(tmp_path / "a.csv", text)
    assert "csv.decimal" in caught.value.hint
    numbers = read(tmp_path / "a.csv", text, said(csv={"delimiter": ";", "decimal": ","})).column("v")
    assert numbers.to_pylist() == [1.5, -0.25]
    words = read(tmp_path / "a.csv", text, said(csv={"delimiter": ";", "decimal": "."})).column("v")
    assert words.to_pylist() == ["1,5", "-0,25"]


@pytest.mark.parametrize("cell", ["1.5", "1.234,5"])
def test_where_a_comma_is_the_decimal_mark_a_point_makes_no_number(cell: str, tmp_path: Path) -> None:
    reading = said(csv={"delimiter": ";", "decimal": ","})
    assert read(tmp_path / "a.csv", f"v;w\n{cell};1\n", reading).column("v").to_pylist() == [cell]


def test_nulls_are_what_the_dataset_says(tmp_path: Path) -> None:
    cells = column(tmp_path, "NA", "1", '"NA"', "", reading=said(csv={"nulls": ["NA"]}))
    assert cells.to_pylist() == [None, "1", "NA", ""]


def test_a_declared_encoding_is_read_and_a_wrong_one_named(tmp_path: Path) -> None:
    text = "v,w\ncafé,1\n"
    for encoding in ("latin-1", "windows-1252", "utf-16", "utf-16-le"):
        table = read(tmp_path / "a.csv", text.encode(encoding), said(csv={"encoding": encoding}))
        assert table.to_pylist() == [{"v": "café", "w": 1}]
    with pytest.raises(UnreadableInput, match=r"line 2: .*is no ascii") as caught:
        read(tmp_path / "a.csv", text.encode(), said(csv={"encoding": "ascii"}))
    assert "csv.encoding" in caught.value.hint


def test_without_a_header_the_declared_columns_name_the_fields(tmp_path: Path) -> None:
    reading = said(csv={"header": False}, schema={"columns": {"zone": "string", "at": "timestamp", "n": "int64"}})
    assert read(tmp_path / "a.csv", f"01,{Z},7\n", reading).to_pylist() == [{"zone": "01", "at": AT, "n": 7}]
    with pytest.raises(InvalidData, match="line 1: it has 2 fields, and 3 columns are declared"):
        read(tmp_path / "a.csv", f"01,{Z}\n", reading)


def test_the_unnamed_index_of_pandas_is_left_out(tmp_path: Path) -> None:
    text = f",at,v\n0,{Z},1\n1,{Z},2\n"
    assert read(tmp_path / "a.csv", text).column_names == ["at", "v"]
    with pytest.raises(InvalidData, match="line 3, column 1: '7'"):
        read(tmp_path / "a.csv", f",at,v\n0,{Z},1\n7,{Z},2\n")
    with pytest.raises(InvalidData, match="line 1, column 2: the header names no column"):
        read(tmp_path / "a.csv", f"at,,v\n{Z},0,1\n")


def test_columns_are_counted_before_a_cell_is_looked_at(tmp_path: Path) -> None:
    header = ",".join(f"c{number}" for number in range(2_001))
    with pytest.raises(InvalidData, match="line 1: the header names 2001 columns"):
        read(tmp_path / "a.csv", f'{header}\n"a quote that is never closed\n')


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'v,w\n1,"abc\n2,x\n', "line 2, column 2: a quote is never closed"),
        (b'v,w\n1,"a\nb"\n2,"abc', "line 4, column 2: a quote is never closed"),
        (b'v,w\n"a\nb","c\nd"e\n', "line 4, column 2: 'e"),
        (b'v,w\n"a"b,1\n', "line 2, column 1: 'b,1"),
        (b"v,w\n1,2\n3", "line 3, column 2: it has 1 fields, expected 2"),
        (b'v,w\n"a\nb",2\n1,2,3\n', "line 4, column 3: it has 3 fields, expected 2"),
        (b"v,w\n1,2\n\n3,4,5\n", "line 4, column 3: it has 3 fields, expected 2"),
        (b"v,w\n1,2\n1,\xff\n", r"line 3, column 2: the bytes b'\xff' are no UTF-8"),
        (b"v,w\n1,2\n\0,2\n", "line 3, column 1: it holds a NUL byte"),
        ("v,w\n1,2\n".encode("utf-16"), "line 1, column 1: it begins with the byte order mark of UTF-16"),
        (b"v\n1\n\n2\n", "line 3, column 1: an empty line may be a value or none"),
        (b"v,V\n1,2\n", "line 1, column 2: the header names 'V' twice"),
        (b"v,w\0\n1,2\n", "line 1, column 2: it holds a NUL byte"),
        (b"v,w\xff\n1,2\n", r"line 1, column 2: the bytes b'\xff' are no UTF-8"),
        (b"\xff\n1\n2\n3\n", r"line 1, column 1: the bytes b'\xff' are no UTF-8"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("piece_bytes", [7, 4 << 20])
def test_a_broken_structure_is_refused_by_line_and_column(
    content: bytes, told: str, piece_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_blocks, "_PIECE_BYTES", piece_bytes)
    with pytest.raises(TimestoreError) as caught:
        read(tmp_path / "a.csv", content)
    assert isinstance(caught.value, (UnreadableInput, InvalidData))
    assert told in str(caught.value)
    assert caught.value.hint


def test_a_quote_that_swallows_lines_is_no_unfinished_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidData):
        read(tmp_path / "a.csv", 'v,w\n1,"abc\n2,x\n')
    with pytest.raises(UnreadableInput):
        read(tmp_path / "a.csv", 'v,w\n1,2\n2,"ab')


def test_a_quote_that_stays_open_does_not_read_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "_PIECE_BYTES", 16)
    monkeypatch.setattr(csv_blocks, "_RECORD_BYTES", 100)
    with pytest.raises(UnreadableInput, match="line 2, column 1: a record is longer than 100 bytes"):
        read(tmp_path / "a.csv", 'v,w\n1,"abc\n' + "2,x\n" * 1000)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["1", "2", "x", "4"], "column 'v' is text: line 4 has 'x', and 3 cells hold a number"),
        (["01234", "10001"], "line 2 has '01234'"),
        (["2013-01-01", "2013-01-02", "soon"], "line 4 has 'soon', and 2 cells hold a date"),
        (["29.11.2026 10:00"], "looks like a date or time but is not ISO 8601"),
        (["true", "True"], "truth values are spelled in several ways"),
        (["9" * 39], "no type of number keeps every digit"),
    ],
    ids=repr,
)
def test_a_column_that_became_text_says_why(cells: list[str], told: str, tmp_path: Path) -> None:
    [note] = notes(tmp_path / "a.csv", "v,w\n" + "".join(f"{cell},x\n" for cell in cells))
    assert told in note


def test_words_are_text_without_a_word_about_it(tmp_path: Path) -> None:
    assert notes(tmp_path / "a.csv", "v,w\nJFK,x\nLGA,1\n7,y\n") == []


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00.1234567Z", "1600-01-01 00:00:00.1234567"])
def test_digits_below_the_microsecond_are_refused_with_the_setting_that_decides(text: str, tmp_path: Path) -> None:
    for reading in (UNKNOWN, known(v=pa.timestamp("us", "UTC" if text.endswith("Z") else None))):
        with pytest.raises(InvalidData, match=f"line 3, column 'v': '{text}'") as caught:
            column(tmp_path, "", text, reading=reading)
        assert "schema.subMicroseconds" in caught.value.hint


@pytest.mark.parametrize(
    ("policy", "digits", "micros"),
    [
        ("truncate", "1234569", 123456),
        ("round", "1234564", 123456),
        ("round", "1234565", 123456),  # a half goes to the even microsecond
        ("round", "1234575", 123458),
        ("round", "12345650001", 123457),
        ("refuse", "123456000", 123456),
    ],
)
def test_digits_below_the_microsecond_are_rounded_or_cut_where_the_dataset_says_so(
    policy: str, digits: str, micros: int, tmp_path: Path
) -> None:
    reading = said(schema={"subMicroseconds": policy})
    for year in (1960, 2026):
        found = column(tmp_path, f"{year}-01-01T00:00:00.{digits}+00:00", "", reading=reading)
        assert found.to_pylist() == [datetime(year, 1, 1, 0, 0, 0, micros, tzinfo=UTC), None]


def test_a_column_keeps_one_type_through_all_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "_PIECE_BYTES", 64)
    lines = [f"{n},{n},,2013-01-01" for n in range(50)] + ["1.5,x,7,2013-01-01 05:00:00"]
    table = read(tmp_path / "a.csv", "f,s,late,at\n" + "\n".join(lines))
    assert table.schema.types == [pa.float64(), pa.string(), pa.int64(), pa.timestamp("us")]
    assert table.column("s").to_pylist() == [*map(str, range(50)), "x"]


_TIMES = ["2013-01-01", "2013-01-01T05:00:00", "2013-01-01T05:00:00.123456", Z]
_CELLS = st.sampled_from(["", "NA", "1", "007", "12345678901234567890", "2.5", "nan", "true", "x", '"a\nb"', *_TIMES])


@given(st.lists(_CELLS, min_size=1, max_size=40), st.sampled_from([None, pa.int64(), pa.float64(), pa.string()]))
def test_neither_types_nor_rows_depend_on_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str], type_: pa.DataType | None
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    text = "v,w\n" + "".join(f"{cell},1\n" for cell in cells)
    reading = UNKNOWN if type_ is None else known(v=type_)
    whole, told = repr(read(path, text, reading).to_pylist()), notes(path, text, reading)  # as text: NaN is NaN
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "_PIECE_BYTES", 32)
        assert repr(read(path, text, reading).to_pylist()) == whole
        assert notes(path, text, reading) == told


@given(
    rows=st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2)),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    piece_bytes=st.integers(1, 64),
)
def test_any_text_that_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], quoting: Any, piece_bytes: int
) -> None:
    target = io.StringIO(newline="")
    csv.writer(target, quoting=quoting).writerows([["a", "b"], *rows])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "_PIECE_BYTES", piece_bytes)
        found = read(path, target.getvalue(), known(a=pa.string(), b=pa.string())).to_pylist()
    nothing = None if quoting == csv.QUOTE_MINIMAL else ""
    assert found == [{"a": a or nothing, "b": b or nothing} for a, b in rows]


@pytest.mark.parametrize(
    ("content", "csv", "counts"),
    [
        ("t\n1.5\n2\n", {}, ["1.5", "2"]),
        ('t\n""\n\n-0.25\n'.replace('""\n\n', "7\n"), {}, ["7", "-0.25"]),
        ("t;n\n1,5;\n2;\n", {"decimal": ","}, ["1.5", "2"]),
        ("t\n1.5000000000000000\n", {}, ["1.5"]),
    ],
)
def test_a_count_of_time_keeps_its_fraction(
    content: str, csv: dict[str, str], counts: list[str], tmp_path: Path
) -> None:
    table = read(tmp_path / "a.csv", content, said(schema={"columns": {"t": "epoch_s"}}, csv=csv))
    assert table.column("t").to_pylist() == [Decimal(count) for count in counts]


def test_counts_without_a_fraction_stay_integers(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", "t\n1\n2\n", declared(t="epoch_s")).column("t").type == pa.int64()


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"a,b,\n1,2,\n", "leave out the ',' at the end of the header and of every line"),
        (b"a;b;\n1;2;\n", "leave out the ';' at the end"),
        (b"a,b\n1,2,\n", "the line ends with ','"),
        (b'a,b\n"1",2,""\n', "the line ends with ','"),
        (b"a,b\n1,2,3\n", "csv.delimiter"),
    ],
)
def test_a_delimiter_at_the_end_of_lines_is_told(content: bytes, hint: str, tmp_path: Path) -> None:
    with pytest.raises((InvalidData, UnreadableInput)) as caught:
        read(tmp_path / "a.csv", content)
    assert hint in caught.value.hint


@pytest.mark.parametrize(("limit", "reads"), [(1_000, 1), (30, 2)], ids=["kept", "too large"])
@pytest.mark.parametrize("reading", [UNKNOWN, known(n=pa.int64(), s=pa.string())], ids=["unknown", "known"])
def test_a_file_of_moderate_size_is_read_once(
    reading: Reading, limit: int, reads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "_KEPT_BYTES", limit)
    monkeypatch.setattr(csv_blocks, "_PIECE_BYTES", 25)
    path = tmp_path / "a.csv"
    path.write_text("n,s\n" + "".join(f"{row},0{row}\n" for row in range(50)))
    opened = list[int]()

    def counted(layout: csv_blocks.CsvLayout, block: csv_blocks.Block, nulls: tuple[str, ...]) -> pa.Table:
        opened.append(block.line)
        return csv_blocks.read_block(layout, block, nulls)

    monkeypatch.setattr(csv_file, "read_block", counted)
    for keep, expected in ((True, reads), (False, 2)):
        opened.clear()
        rows = pa.concat_tables(CsvFile(path, reading, keep=keep).tables())
        assert rows.to_pydict() == {"n": list(range(50)), "s": [f"0{row}" for row in range(50)]}
        assert len(opened) == expected * len(set(opened))


def test_the_lines_of_a_block_are_counted_once_for_all_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, readers = csv.reader, list[Any]()

    def counted(*arguments: Any, **options: Any) -> Any:
        readers.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(csv, "reader", counted)
    lines = [",".join([cell] * 50) for cell in ('"1"', "NA", "2", "n/a")]
    path = tmp_path / "a.csv"
    path.write_text("\n\n".join([",".join(f"c{number}" for number in range(50)), *lines]) + "\n")
    notes = CsvFile(path, UNKNOWN).notes
    assert len(notes) == 50
    assert all("is text: line 5 has 'NA'" in note.text for note in notes)
    assert len(readers) < 10
