"""`python -m demo`: the processes of the demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demo import producer as producing
from demo.source import Airport

app = typer.Typer(no_args_is_help=True)


@app.callback()
def main() -> None:
    """A year of real weather and flights through the real system."""


@app.command()
def producer(
    airport: Airport,
    seconds: Annotated[float, typer.Option(help="how long the year takes")] = 60,
    report: Annotated[Path | None, typer.Option(help="where to write what was done, as JSON")] = None,
) -> None:
    """Replay one airport's year into the staging queue; start it again after a crash, as often as you like."""
    producing.run(airport, seconds, report)


if __name__ == "__main__":
    app()
