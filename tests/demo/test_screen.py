from __future__ import annotations

import io

from rich.console import Console

from demo.screen import Screen


def _lines(screen: Screen) -> list[str]:
    assert isinstance(screen.console.file, io.StringIO)
    return screen.console.file.getvalue().splitlines()


def test_a_log_gets_plain_lines_and_not_one_for_every_look() -> None:
    with Screen(Console(file=io.StringIO()), total_rows=2_000) as screen:
        for look in range(50):
            screen.rows(1_000 + look, 500)
    (line,) = _lines(screen)
    assert line.endswith(" s  staged 1,000 of 2,000 rows, published 500")


def test_a_terminal_gets_bars() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with Screen(console, total_rows=2_000) as screen:
        screen.rows(1_000, 500)
    assert "staged" in "".join(_lines(screen))
    assert "1000/2000" in "".join(_lines(screen))
