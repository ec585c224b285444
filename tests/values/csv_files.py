"""CSV files: columns of one theme each, an odd cell among them at times, written in many ways, some of them broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.values.cells import PLAIN_FRACTIONS, THEMES, WHOLE
from tests.values.kinds import Batch, reused
from tests.values.plain import STRICT, Instant, Policy, Written
from tests.values.readers import ROW
from tests.values.sources import NAMES, File, can_be_columns
from tests.values.text import Cell, is_number, times

_THEMES = st.sampled_from(THEMES)
_FEW = st.sampled_from(["v", "w"])


class Dialect(NamedTuple):
    """How a file is written."""

    delimiter: str = ","
    line_end: str = "\n"
    quote_all: bool = False
    mark: bytes = b""  # in front of it all
    encoding: str = "utf-8"
    last_line_ends: bool = True

    def field(self, text: str, *, quoted: bool) -> str:
        return '"' + text.replace('"', '""') + '"' if quoted else text

    def must_quote(self, text: str) -> bool:
        return any(letter in text for letter in f'{self.delimiter}"\r\n')


DIALECTS = st.one_of(
    st.just(Dialect()),
    st.builds(
        lambda line_end, quote_all, mark, ends: Dialect(",", line_end, quote_all, mark, last_line_ends=ends),
        st.sampled_from(["\n", "\r\n"]),
        st.booleans(),
        st.sampled_from([b"", b"\xef\xbb\xbf"]),
        st.booleans(),
    ),
)


class Grid(NamedTuple):
    """A file before it is written: column names, then rows of cells."""

    names: list[str]
    rows: list[list[Cell]]

    def written(self, dialect: Dialect) -> bytes:
        header = [dialect.field(name, quoted=dialect.must_quote(name) or name[:1] == " ") for name in self.names]
        lines = [header, *([dialect.field(cell.text, quoted=cell.quoted) for cell in row] for row in self.rows)]
        text = dialect.line_end.join(dialect.delimiter.join(line) for line in lines)
        return dialect.mark + (text + dialect.line_end * dialect.last_line_ends).encode(dialect.encoding)


@reused
def _cells(theme: st.SearchStrategy[str], rows: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.one_of(theme, theme, theme, st.just("")), min_size=rows, max_size=rows)


@reused
@st.composite
def _column(draw: st.DrawFn, rows: int, themes: st.SearchStrategy[Any]) -> list[str]:
    theme = draw(themes)
    cells = draw(_cells(theme, rows))
    if draw(st.integers(0, 3)) == 0:
        cells[draw(st.integers(0, rows - 1))] = draw(draw(_THEMES))
    return cells


@reused
@st.composite
def grids(
    draw: st.DrawFn,
    first: int,
    names: st.SearchStrategy[str],
    dialect: Dialect,
    policy: Policy = STRICT,
    *,
    known: bool = False,
) -> Grid:
    """`row`, nearly always `at`, and one or two columns more."""
    rows = draw(st.integers(1, 4))
    chosen = [
        name
        for name in draw(st.lists(names, min_size=1, max_size=2, unique_by=str.casefold))
        if name.casefold() != "at"
    ]
    columns = [[str(first + n) for n in range(rows)]]
    columns += [draw(_column(rows, _THEMES)) for _ in chosen]
    if draw(st.integers(0, 9)):
        chosen.append("at")
        columns.append([f"2026-01-{draw(st.integers(1, 31)):02}T00:00:00Z" for _ in range(rows)])

    def cell(text: str) -> Cell:
        quoted = dialect.quote_all or dialect.must_quote(text) or draw(st.integers(0, 7)) == 0
        return Cell(text, quoted, policy=policy, known=known)

    return Grid([ROW, *chosen], [[cell(text) for text in row] for row in zip(*columns, strict=True)])


def batch_of(grid: Grid, dialect: Dialect, malformed: Callable[[bytes], bytes] | None = None) -> Batch:
    content = grid.written(dialect)
    content = content if malformed is None else malformed(content)
    rows = [{**dict(zip(grid.names, row, strict=True)), ROW: int(row[0].text)} for row in grid.rows]
    taken = can_be_columns(grid.names[1:]) and not any(_may_be_refused(cell) for row in grid.rows for cell in row)
    return Batch(File(content, ".csv"), rows, taken, f"csv {content!r}", malformed=malformed is not None)


def _may_be_refused(cell: Cell) -> bool:
    """A time that is finer than the dataset takes may be refused or stay text."""
    return any(isinstance(meant, Instant) and cell.policy.micros(meant.ns) is None for meant in times(cell.text))


@reused
@st.composite
def csv(
    draw: st.DrawFn, first: int, names: st.SearchStrategy[str] = NAMES, policy: Policy = STRICT, *, known: bool = False
) -> Batch:
    """known: a column may have a type already, by which its cells are read."""
    dialect = draw(DIALECTS)
    return batch_of(draw(grids(first, _writable(names), dialect, policy, known=known)), dialect)


@reused
def _writable(names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return names.filter(_can_be_written)


def _can_be_written(name: str) -> bool:
    return not any(letter in name for letter in "\r\n\0\ufeff")


@reused
@st.composite
def broken(draw: st.DrawFn, first: int, names: st.SearchStrategy[str] = NAMES) -> Batch:
    """Files that say less, or other, than was meant: each must be refused."""
    damage = draw(st.sampled_from([_open_quote, _open_quote, _short_row, _long_row, _other_encoding, _headless]))
    grid = draw(grids(first, _FEW, Dialect()))
    return batch_of(grid, Dialect(), damage)


def _open_quote(content: bytes) -> bytes:
    columns = content.partition(b"\n")[0].count(b",") + 1
    return content + b",".join([b"9999", *[b"1"] * (columns - 2), b'"abc\n'])


def _short_row(content: bytes) -> bytes:
    return content + b"9999\n"


def _long_row(content: bytes) -> bytes:
    return content + b"9999,1,2,3,4\n"


def _other_encoding(content: bytes) -> bytes:
    return content.replace(b"\n", b"caf\xe9\n")


def _headless(content: bytes) -> bytes:
    return b"," + content  # one name less than there are cells, and one of them empty


class MustBeNumber(Written):
    """A cell that nobody would take for anything but a number."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"MustBeNumber({self.text!r})"

    def reads_as(self, found: Any) -> bool:
        return isinstance(found, (int, float)) and is_number(self.text, found)


class MustBeInstant(MustBeNumber):
    """A cell that is an instant in full."""

    def reads_as(self, found: Any) -> bool:
        return isinstance(found, Instant) and found in times(self.text)


@reused
@st.composite
def plain_csv(draw: st.DrawFn, first: int) -> Batch:
    """Numbers and instants that must not stay text."""
    rows = draw(st.integers(1, 4))
    whole = draw(st.lists(WHOLE, min_size=rows, max_size=rows))
    fractions = draw(st.lists(PLAIN_FRACTIONS, min_size=rows, max_size=rows))
    instants = draw(st.lists(st.datetimes().map(lambda v: v.isoformat() + "Z"), min_size=rows, max_size=rows))
    lines = [f"{first + n},{whole[n]},{fractions[n]},{instants[n]}" for n in range(rows)]
    content = "\n".join([f"{ROW},n,x,at", *lines, ""]).encode()
    columns: dict[str, list[MustBeNumber]] = {
        "n": [MustBeNumber(text) for text in whole],
        "x": [MustBeNumber(text) for text in fractions],
        "at": [MustBeInstant(text) for text in instants],
    }
    expected = [{ROW: first + n} | {name: values[n] for name, values in columns.items()} for n in range(rows)]
    return Batch(File(content, ".csv"), expected, True, f"csv {content!r}")
