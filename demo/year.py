"""The demo: a year of weather and flights, staged by three processes, flushed by Dagster, compared with its source.

Everything it starts is stopped when it ends, however it ends, and every wait has a deadline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from demo import summary
from demo.airports import AirportProcesses
from demo.chaos import Chaos
from demo.command_line import timestore as timestore_command
from demo.dagster_processes import DagsterProcesses
from demo.environment import YEAR_IN_A_MINUTE, Home, adopt, inherited
from demo.outcome import Outcome, gather
from demo.processes import Children, free_port
from demo.screen import Screen
from demo.source import DATASETS, TIME_COLUMN, rows_of
from demo.waiting import wait_until
from timestore_pipeline import Settings
from timestore_pipeline.model.batch import BatchState
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.staging.ledger.volumes import ACCEPTED
from timestore_pipeline.wiring import Timestore

# A year of this data is 54 MB in memory. By day, the default, every flush would spread its rows over 60 partitions, and
# the lake would be 700 files of a few kilobytes; by month a flush writes two or three, of a size worth reading.
METADATA = {"time_column": TIME_COLUMN, "partition": {"granularity": "month"}}

_PAUSED_FROM = 0.9  # share of the rows
_TICK_SECONDS = 180.0
_LATE_SECONDS = 90.0  # on top of the planned time, for producers on a busy machine
_DRAIN_SECONDS = 180.0
_RUNS_END_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose."""

    home: Path  # emptied at the start, left behind at the end
    seconds: float  # how long the days take
    days: int
    chaos: bool


def run(options: Options, console: Console) -> int:
    """Run the demo and print its summary; 0 = every row was published exactly once, 1 = not, and why was printed."""
    home = Home(options.home.absolute())
    with home.fresh():
        adopt(home.variables(YEAR_IN_A_MINUTE))
        with Timestore(Settings.from_env()) as timestore:
            outcome = _Year(options, home, timestore, console).run()
    summary.show(console, outcome)
    console.print(f"the lake stays in {home.lake}, the logs in {home.logs}", highlight=False, soft_wrap=True)
    return 1 if outcome.problems else 0


def check(folder: Path, days: int, console: Console) -> int:
    """Compare what an earlier run has left in `folder` with the source; answers and prints like `run`."""
    home = Home(folder.absolute())
    home.check_used()
    adopt(home.variables(YEAR_IN_A_MINUTE))
    with Timestore(Settings.from_env()) as timestore:
        outcome = Outcome(*gather(timestore, days))
    summary.show(console, outcome)
    return 1 if outcome.problems else 0


def prepare(timestore: Timestore) -> None:
    """Set the datasets' layout, which the first batch fixes."""
    for dataset in DATASETS:
        timestore.set_metadata(dataset, METADATA)


class _Year:
    """One run, in the order of its methods."""

    def __init__(self, options: Options, home: Home, timestore: Timestore, console: Console) -> None:
        self._options = options
        self._timestore = timestore
        self._total = sum(rows_of(dataset, options.days).num_rows for dataset in DATASETS)
        self._screen = Screen(console, self._total)
        self._paused = False
        self._children = Children(home.logs, inherited())
        self._dagster = DagsterProcesses(self._children, home, free_port())
        self._airports = AirportProcesses(self._children, home, options.seconds, options.days)
        self._chaos = Chaos(self._airports, self._dagster, timestore) if options.chaos else None

    def run(self) -> Outcome:
        with self._children:
            self._start_dagster()
            with self._screen:
                self._produce()
                self._drain()
            runs = self._runs_at_their_end()
        return self._outcome(runs)

    def _start_dagster(self) -> None:
        prepare(self._timestore)
        self._screen.step("starting Dagster: code server, daemon, web server")
        self._dagster.start()
        wait_until(self._sensor_ticks, "the first tick of the flush sensor", _TICK_SECONDS)
        self._screen.step(f"the flush sensor ticks; watch it at {self._dagster.ui}")

    def _produce(self) -> None:
        self._screen.step(f"three producers replay {self._options.days} days in {self._options.seconds:.0f} s")
        self._airports.start()
        self._wait(self._all_staged, "the producers", self._options.seconds + _LATE_SECONDS)

    def _all_staged(self) -> bool:
        if self._rows(ACCEPTED) > _PAUSED_FROM * self._total:
            self._pause(True)
        return self._airports.finished()

    def _drain(self) -> None:
        self._screen.step("all is staged; asking for a flush of the rest by hand")
        timestore_command("flush", "--all")
        self._pause(False)
        self._wait(self._drained, "nothing to be pending or in flight", _DRAIN_SECONDS)

    def _runs_at_their_end(self) -> Counter[str]:
        self._screen.step("all is published; waiting for Dagster's runs to end, then comparing every row")
        wait_until(self._dagster.idle, "Dagster's runs to end", _RUNS_END_SECONDS)
        return self._dagster.runs_by_status()

    def _outcome(self, runs: Counter[str]) -> Outcome:
        datasets, verified = gather(self._timestore, self._options.days)
        chaos = self._chaos
        return Outcome(
            datasets,
            verified,
            reports=self._airports.reports(),
            runs=runs,
            kills=[(kill.victim, chaos.outcome_of(kill)) for kill in chaos.kills] if chaos else (),
            missed_kills=chaos.missed() if chaos else (),
            elapsed_seconds=self._screen.elapsed_seconds,
        )

    def _wait(self, done: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait while showing the rows, watching Dagster and killing what is due."""

        def look() -> bool:
            self._dagster.check_running()
            self._look()
            return done()

        wait_until(look, what, seconds)

    def _look(self) -> None:
        staged, published = self._rows(ACCEPTED), self._rows(BatchState.PUBLISHED)
        self._screen.rows(staged, published)
        kill = self._chaos.look(staged / self._total) if self._chaos else None
        if kill:
            self._screen.step(f"killed the {kill.victim}: {kill.proof}")

    def _pause(self, paused: bool) -> None:
        """Leave the last rows to the manual flush: thresholds might flush all of them before it is requested."""
        for dataset in DATASETS if paused != self._paused else ():
            self._timestore.area.ledger.datasets.set_paused(dataset, paused)
        self._paused = paused

    def _rows(self, state: str) -> int:
        ledger = self._timestore.area.ledger
        kept = [ledger.audit.totals(dataset).kept for dataset in ledger.datasets.names(active=True)]
        return sum(totals[state].rows for totals in kept if state in totals)

    def _drained(self) -> bool:
        return not any(backlog.queued.batches for backlog in self._timestore.area.backlogs())

    def _sensor_ticks(self) -> bool:
        self._dagster.check_running()
        return self._timestore.area.ledger.get_meta(SENSOR_LAST_TICK) is not None
