"""A bar on a terminal while files of published tables are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from timestore_pipeline.cli.output import error_console


@contextmanager
def files_bar(*, hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Gives a function to call with a dataset, its files written so far, and their total; silent without a terminal."""
    console = error_console()
    if hidden or not console.is_terminal:
        yield lambda _dataset, _done, _of: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("files of {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("all datasets", total=None)
        yield lambda dataset, done, of: bar.update(task, description=dataset, completed=done, total=of)
