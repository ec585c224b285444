"""What the demo shows while it runs: two bars on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from timestore_pipeline.system import clock

_LINE_EVERY_SECONDS = 5.0


class Screen:
    """Shows steps and how many rows are staged and published. A log of a build should stay readable: no bars there."""

    def __init__(self, console: Console, total_rows: int) -> None:
        self.console = console
        self._total = total_rows
        self._started = clock.monotonic()
        self._next_line = 0.0
        columns = (TextColumn("  {task.description:<9}"), BarColumn(50), MofNCompleteColumn(), TextColumn("rows"))
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._staged = self._bars.add_task("staged", total=total_rows)
        self._published = self._bars.add_task("published", total=total_rows)

    @property
    def elapsed_seconds(self) -> float:
        return clock.monotonic() - self._started

    def step(self, text: str) -> None:
        """Say what happens now, on a line that stays."""
        self.console.print(f"{self.elapsed_seconds:6.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)

    def rows(self, staged: int, published: int) -> None:
        self._bars.update(self._staged, completed=staged)
        self._bars.update(self._published, completed=published)
        if not self.console.is_terminal and self.elapsed_seconds >= self._next_line:
            self._next_line = self.elapsed_seconds + _LINE_EVERY_SECONDS
            self.step(f"staged {staged:,} of {self._total:,} rows, published {published:,}")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
