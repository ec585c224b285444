"""The three producer processes, one per airport, and what they report when they end."""

from __future__ import annotations

import sys

from demo.environment import REPOSITORY, Home
from demo.processes import Child, Children
from demo.producer import Report
from demo.source import AIRPORTS
from timestore_pipeline.system import clock


class AirportProcesses:
    """Stopped by the `Children` that started them."""

    def __init__(self, children: Children, home: Home, seconds: float, days: int) -> None:
        self._children = children
        self._home = home
        self._pace = ["--seconds", str(seconds), "--days", str(days)]
        self._running: dict[str, Child] = {}
        self._started = 0.0

    def start(self) -> None:
        self._started = clock.monotonic()
        for airport in AIRPORTS:
            self._start(airport)

    def finished(self) -> bool:
        """Whether all ended well; raises `ChildFailed` when one ended badly."""
        answers = [child.finished() for child in self._running.values()]  # every one is asked: the last may have failed
        return all(answers)

    def kill(self, airport: str) -> int:
        """`kill -9` of one producer; returns its process id. A new one replays from the start and catches up.

        A producer that had ended before is not killed and not started again: the answer is 0.
        """
        victim = self._running[airport]
        if not victim.kill():
            return 0
        self._start(airport)
        return victim.process.pid

    def reports(self) -> list[Report]:
        """One per airport, once all have finished. What a killed process had done before is in none."""
        return [Report.read(self._home.report(airport)) for airport in AIRPORTS]

    def _start(self, airport: str) -> None:
        command = [sys.executable, "-m", "demo", "producer", airport, *self._pace]
        command += ["--late", f"{clock.monotonic() - self._started:.1f}"]
        command += ["--report", str(self._home.report(airport))]
        self._running[airport] = self._children.start(f"producer-{airport.lower()}", command, directory=REPOSITORY)
