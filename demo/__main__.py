"""`python -m demo`: the demonstration and its parts."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from demo import producer as producing
from demo.command_line import CommandFailed
from demo.environment import REPOSITORY, UnusableHome
from demo.processes import INTERRUPTIONS, ChildFailed
from demo.source import WHOLE_YEAR, Airport
from demo.waiting import TookTooLong
from timestore_pipeline.system.without_pandas import leave_pandas_out

app = typer.Typer(add_completion=False)

_HOME = REPOSITORY / ".demo"
_INTERRUPTED = 130  # what shells report after Ctrl-C

HomeOption = Annotated[Path, typer.Option(help="where everything is written; emptied at the start")]
DaysOption = Annotated[int, typer.Option(min=1, max=WHOLE_YEAR, help="how much of the year, from 1 January")]
SecondsOption = Annotated[float, typer.Option(min=0, help="how long these days take")]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    *,
    chaos: Annotated[
        bool, typer.Option("--chaos", help="kill -9 a producer, a run worker, daemon and code server")
    ] = False,
    days: DaysOption = WHOLE_YEAR,
    seconds: SecondsOption = 60,
    home: HomeOption = _HOME,
) -> None:
    """A year of real weather and flights through the real system, compared with its source row by row."""
    if context.invoked_subcommand is None:
        from demo import year  # here, because a producer must not pay for importing Dagster

        with _ending_well() as console:
            raise typer.Exit(year.run(year.Options(home, seconds, days, chaos), console))


@app.command()
def dev(port: Annotated[int, typer.Option(help="of the Dagster UI")] = 3000, home: HomeOption = _HOME / "dev") -> None:
    """The Dagster UI and one live producer, until Ctrl-C."""
    from demo import dev_server

    with _ending_well() as console:
        dev_server.run(home, port, console)


@app.command()
def monitoring(
    hurry: Annotated[float, typer.Option(min=1, help="divide every waiting time of the alerts")] = 1,
    folder: Annotated[Path, typer.Option(help="where the servers keep what they collect")] = _HOME / "monitoring",
) -> None:
    """Prometheus, Pushgateway and Alertmanager with this shard's rules, until Ctrl-C."""
    from demo import monitoring as stack

    with _ending_well() as console:
        stack.run(folder, hurry, console)


@app.command()
def picture(target: Annotated[Path, typer.Argument()] = REPOSITORY / "docs" / "images" / "dashboard.png") -> None:
    """Draw the dashboard's panels after two lively minutes; takes as long."""
    from demo import picture as drawing
    from demo.outage_scenario import Timeline

    logging.getLogger("timestore_pipeline").setLevel(logging.CRITICAL)  # the outage is meant: see it in the picture
    with _ending_well() as console:
        drawing.run(target, console, Timeline())


@app.command()
def check(days: DaysOption = WHOLE_YEAR, home: HomeOption = _HOME) -> None:
    """Compare what an earlier run left in its home with the source once more."""
    from demo import year

    with _ending_well() as console:
        raise typer.Exit(year.check(home, days, console))


@app.command()
def producer(
    airport: Airport,
    seconds: SecondsOption = 60,
    days: DaysOption = WHOLE_YEAR,
    late: Annotated[float, typer.Option(help="how many seconds ago it should have begun")] = 0,
    report: Annotated[Path | None, typer.Option(help="where to write what was done, as JSON")] = None,
    *,
    for_ever: Annotated[bool, typer.Option("--for-ever", help="begin again after the last day")] = False,
) -> None:
    """Replay one airport into the staging queue; start it again after a crash, as often as you like."""
    if for_ever:
        producing.run_for_ever(airport, seconds)
    producing.run(airport, days, producing.Pace(seconds, days, late), report)


@contextmanager
def _ending_well() -> Iterator[Console]:
    """Ctrl-C, SIGTERM and a closed terminal stop everything; an expected failure prints a sentence and exits with 1."""
    console = Console()
    # A shell starts background jobs with SIGINT ignored; Dagster's processes would inherit that and ignore SIGTERM too.
    for number in INTERRUPTIONS:
        signal.signal(number, signal.default_int_handler)
    try:
        yield console
    except KeyboardInterrupt:
        console.print("interrupted; everything was stopped")
        raise typer.Exit(_INTERRUPTED) from None
    except (ChildFailed, CommandFailed, TookTooLong, UnusableHome) as failure:
        console.print(f"✗ {failure}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    leave_pandas_out()
    app()
