"""Output of commands: tables, lines and progress bars for people, JSON for scripts, one red line for an error.

Colours and progress appear on a terminal only, and never with NO_COLOR. With `--json` standard output carries exactly
one JSON document, also when the command fails: then it is {"error": {"code", "message", "dataset", "hint"}}.
All text is made legible here: names and values from producers cannot move the cursor or end a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, Protocol, TypeVar

import typer

from timestore_pipeline.errors import DatasetsRefused, InvalidSettings, TimestoreError
from timestore_pipeline.system.legible import legible, legible_json

if TYPE_CHECKING:  # rich is imported only where something is printed: `--help` and completion do not need it
    from rich.console import Console, JustifyMethod

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

FAILED = 1
WRONG_USAGE = 2

_GAP = 2  # columns between two of a table
_READABLE = 24  # columns in which a sentence can be folded
_WIDE = 200  # columns where the width is unknown: a table in a pipe must not be folded

P = ParamSpec("P")


def reporting(command: Callable[P, None]) -> Callable[P, None]:
    """The command, with a `TimestoreError` printed and turned into an exit code; any other error is a bug and shows."""

    @wraps(command)
    def wrapped(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            command(*arguments, **options)
        except TimestoreError as error:
            print_error(error, as_json=bool(options.get("as_json")))
            raise typer.Exit(WRONG_USAGE if isinstance(error, InvalidSettings) else FAILED) from error

    return wrapped


def print_json(document: Any) -> None:
    print(json_text(document))


def json_text(document: Any) -> str:
    """JSON in characters that standard output can encode, and without terminal control characters."""
    text = legible_json(json.dumps(document, ensure_ascii=False))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(document)
    return text


class YesOrNo(Protocol):
    """An answer that is yes or no."""

    @property
    def ok(self) -> bool: ...

    def to_dict(self) -> dict[str, Any]: ...


V = TypeVar("V", bound=YesOrNo)


def print_verdict(verdict: V, show: Callable[[V], None], *, as_json: bool) -> None:
    """As JSON, or by `show` for a person; ends the command with exit code 1 when the answer is no."""
    if as_json:
        print_json(verdict.to_dict())
    else:
        show(verdict)
    if not verdict.ok:
        raise typer.Exit(FAILED)


def print_line(text: str, style: str = "") -> None:
    """One line of the answer."""
    _print_line(sys.stdout, text, style)


def print_note(text: str, style: str = "") -> None:
    """One line beside the answer; on standard error, so that a pipe does not get it."""
    _print_line(sys.stderr, text, style)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[str] = (),
    header: bool = True,
    spare: Sequence[str] = (),
) -> None:
    """numbers: names of the columns to align right. spare: columns that a narrow terminal omits, in this order.

    If the table is still too wide, only the widest column is folded: names and numbers stay in one piece.
    """
    from rich.table import Table
    from rich.text import Text

    console = _console(sys.stdout)
    columns, numbers = [legible(name) for name in columns], [legible(name) for name in numbers]
    rows = [[legible(cell) for cell in row] for row in rows]
    widths = _widths(columns, rows)
    left_out = _left_out(widths, spare, console.width)
    shown = [number for number, name in enumerate(columns) if name not in left_out]
    widest = max(shown, key=lambda number: widths[columns[number]]) if header else shown[-1]
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=header)
    for number in shown:
        name = columns[number]
        justify: JustifyMethod = "right" if name in numbers else "left"
        table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=number != widest)
    for row in rows:
        table.add_row(*(Text(row[number]) for number in shown))
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
    if left_out:
        print_note(f"left out on a narrow terminal: {', '.join(left_out)}")


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, int]:
    from rich.cells import cell_len

    lines = [columns, *rows]
    return {name: max(cell_len(line[number]) for line in lines) for number, name in enumerate(columns)}


def _left_out(widths: Mapping[str, int], spare: Sequence[str], width: int) -> list[str]:
    """As few columns as possible, so that the rest fits if the widest column is folded."""
    gone: list[str] = []
    for name in spare:
        kept = [taken for column, taken in widths.items() if column not in gone]
        needed = sum(kept) + _GAP * (len(kept) - 1)
        if needed - max(kept) + min(max(kept), _READABLE) <= width:
            break
        gone.append(name)
    return gone


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Name and value, one pair a line."""
    print_table(("", ""), list(fields), header=False)


def print_error(error: TimestoreError, *, as_json: bool) -> None:
    if as_json:
        of_each = {"problems": [one.to_dict() for one in error.problems]} if isinstance(error, DatasetsRefused) else {}
        print_json({"error": error.to_dict() | of_each})
        return
    print_note(f"error: {' '.join(str(error).split())} [{error.code}]", "red")
    if error.hint:
        print_note(f"hint: {error.hint}")


def _print_line(stream: Any, text: str, style: str) -> None:
    from rich.text import Text

    _console(stream).print(Text(legible(text), style), soft_wrap=True)


def _console(stream: Any) -> Console:
    """Created for each use: tests and callers may have replaced the stream."""
    from rich.console import Console

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else Console(file=stream, width=_WIDE, no_color=True, highlight=False)


@contextmanager
def progress_bar(what: str, total: int | None = None, *, hidden: bool) -> Iterator[Callable[..., None]]:
    """Gives a function to call with the changes: `completed`, `advance`, and so on. total: None = unknown."""
    console = _console(sys.stderr)
    if hidden or not console.is_terminal:
        yield lambda **_: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield partial(bar.update, bar.add_task(what, total=total))


@contextmanager
def files_bar(*, hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Gives a function to call with a dataset, its files written so far, and their total."""
    with progress_bar("files", hidden=hidden) as update:
        yield lambda dataset, done, of: update(description=f"files of {dataset}", completed=done, total=of)
