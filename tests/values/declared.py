"""What is declared about a dataset holds: the types of its columns, and how its CSV is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.values.cells import DAYS, LOCAL, PLAIN_FRACTIONS, WHOLE, WORDS, ZEROS
from tests.values.csv_files import Dialect, Grid
from tests.values.kinds import Batch, of_datetime
from tests.values.plain import Instant, Written
from tests.values.readers import ROW
from tests.values.sources import File
from tests.values.text import Cell


class Exactly(Written):
    """A value of one Python type and no other that is equal to it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Exactly({self.value!r})"

    def reads_as(self, found: Any) -> bool:
        return type(found) is type(self.value) and bool(found == self.value)


class Said(NamedTuple):
    """A declared type and a value for it: in CSV, in JSON and in Python, and what must come back."""

    type: str
    cell: str
    json: str
    python: Any
    expected: Any


def _text(type_: str, text: str, expected: Any) -> Said:
    return Said(type_, text, json.dumps(text), text, expected)


def _double(text: str) -> Said:
    number = float(text)
    python = int(text) if text.lstrip("-").isdigit() else number
    return Said("double", text.replace("0.", ".", text.lstrip("-").startswith("0.")), text, python, Exactly(number))


def _decimal(text: str) -> Said:
    return Said("decimal(20,4)", text, text, Decimal(text), Exactly(Decimal(text)))


def _epoch(unit: str, ticks: int, ns: int) -> Said:
    return Said(unit, str(ticks), str(ticks), ticks, Instant(ticks * ns))


def _instant(moment: datetime) -> Said:
    moment = moment.replace(tzinfo=UTC)
    return Said("timestamp", moment.isoformat(), json.dumps(moment.isoformat()), moment, of_datetime(moment))


_SMALL = st.integers(-(10**6), 10**6)
_SAID: dict[str, st.SearchStrategy[Said]] = {
    "double": st.one_of(_SMALL.map(str), PLAIN_FRACTIONS).map(_double),
    "string": st.one_of(WHOLE, ZEROS, DAYS, LOCAL, WORDS.filter(bool)).map(lambda text: _text("string", text, text)),
    "number as text": PLAIN_FRACTIONS.map(lambda text: Said("string", text, text, text, text)),
    "int64": WHOLE.map(lambda text: Said("int64", text, text, int(text), Exactly(int(text)))),
    "decimal": st.one_of(_SMALL.map(str), PLAIN_FRACTIONS).map(_decimal),
    "timestamp": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(_instant),
    "uuid": st.uuids().map(lambda u: _text("uuid", str(u).upper(), str(u))),
    "epoch_s": st.integers(0, 4 * 10**9).map(lambda n: _epoch("epoch_s", n, 10**9)),
    "epoch_ms": st.integers(0, 4 * 10**12).map(lambda n: _epoch("epoch_ms", n, 10**6)),
    "epoch_us": st.integers(0, 4 * 10**15).map(lambda n: _epoch("epoch_us", n, 10**3)),
}


@st.composite
def declared_types(draw: st.DrawFn) -> tuple[Batch, dict[str, Any]]:
    """A batch and the metadata that say what its columns are."""
    rows = draw(st.integers(1, 3))
    chosen = draw(st.lists(st.sampled_from(list(_SAID)), min_size=1, max_size=3, unique=True))
    columns = {name: draw(st.lists(_SAID[name], min_size=rows, max_size=rows)) for name in chosen}
    expected = [{ROW: n} | {name: said[n].expected for name, said in columns.items()} for n in range(rows)]
    payload = draw(st.sampled_from([_csv, _ndjson, _rows]))(columns, rows)
    metadata = {"schema": {"columns": {name: said[0].type for name, said in columns.items()}}}
    return Batch(payload, expected, True, f"declared {metadata}: {payload!r}"), metadata


def _csv(columns: dict[str, list[Said]], rows: int) -> File:
    dialect = Dialect()
    names = [ROW, *columns]
    cells = [[str(n), *(said[n].cell for said in columns.values())] for n in range(rows)]
    grid = Grid(names, [[Cell(text, dialect.must_quote(text)) for text in row] for row in cells])
    return File(grid.written(dialect), ".csv")


def _ndjson(columns: dict[str, list[Said]], rows: int) -> File:
    lines = []
    for n in range(rows):
        inside = [f'"{ROW}": {n}', *(f"{json.dumps(name)}: {said[n].json}" for name, said in columns.items())]
        lines.append(f"{{{', '.join(inside)}}}\n")
    return File("".join(lines).encode(), ".ndjson")


def _rows(columns: dict[str, list[Said]], rows: int) -> list[dict[str, Any]]:
    return [{ROW: n} | {name: said[n].python for name, said in columns.items()} for n in range(rows)]


@st.composite
def declared_csv(draw: st.DrawFn) -> tuple[Batch, dict[str, Any]]:
    """A file in another dialect, and the metadata that say which."""
    delimiter, decimal = draw(st.sampled_from([(";", ","), ("\t", "."), ("|", ","), (";", "."), (",", ".")]))
    encoding = draw(st.sampled_from(["utf-8", "latin-1", "cp1252", "utf-16"]))
    nulls = draw(st.sampled_from([[""], ["", "NA"], ["-", "NULL"]]))
    dialect = Dialect(delimiter=delimiter, encoding=encoding)
    numbers = draw(st.lists(PLAIN_FRACTIONS, min_size=2, max_size=2))
    words = [
        *draw(st.lists(st.sampled_from(["é", "a,b", "a;b", "x|y", "NA", "0123", ""]), min_size=1, max_size=1)),
        *nulls[:1],
    ]
    rows = [
        [Cell(str(n)), Cell(numbers[n].replace(".", decimal), decimal=decimal, nulls=tuple(nulls)),
         Cell(words[n], dialect.must_quote(words[n]), tuple(nulls))]
        for n in range(2)
    ]  # fmt: skip
    grid = Grid([ROW, "x", "w"], rows)
    expected = [{ROW: n, "x": rows[n][1], "w": rows[n][2]} for n in range(2)]
    metadata = {"csv": {"delimiter": delimiter, "decimal": decimal, "encoding": encoding, "nulls": nulls}}
    content = grid.written(dialect)
    return Batch(File(content, ".csv"), expected, True, f"csv {content!r} declared {metadata}"), metadata


@st.composite
def undeclared_csv(draw: st.DrawFn) -> tuple[Batch, dict[str, Any]]:
    """A file in another dialect of which nothing is said: it is recognised, or refused with what was seen."""
    delimiter = draw(st.sampled_from([";", "\t", "|"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-16", "latin-1"]))
    dialect = Dialect(delimiter=delimiter, encoding=encoding)
    names = draw(st.sampled_from([["x", "w"], ["x,kW", "w"], ["é", "w"]]))
    texts = st.sampled_from(["1,5", "2", "1.5", "é", "a", "a,b", "1.234,5"])
    rows = [
        [Cell(str(n)), *(Cell(text, dialect.must_quote(text)) for text in draw(st.tuples(texts, texts)))]
        for n in range(2)
    ]
    grid = Grid([ROW, *names], rows)
    expected = [{ROW: n, names[0]: rows[n][1], names[1]: rows[n][2]} for n in range(2)]
    content = grid.written(dialect)
    return Batch(File(content, ".csv"), expected, False, f"csv {content!r}"), {}


DECLARED = st.one_of(declared_types(), declared_csv(), undeclared_csv())
