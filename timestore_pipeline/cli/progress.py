"""Progress bars of commands that take long; silent without a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from timestore_pipeline.cli.output import error_console


@contextmanager
def progress_bar(what: str, total: int | None = None, *, hidden: bool) -> Iterator[Callable[..., None]]:
    """Gives a function to call with the changes: `completed`, `advance`, and so on. total: None = unknown."""
    console = error_console()
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
