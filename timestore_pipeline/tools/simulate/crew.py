"""The producers' processes: started together, watched, and killed if they outlive the simulation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from timestore_pipeline.system.context_managers import Closing
from timestore_pipeline.tools.simulate.plan import Plan


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one producer. `fault`: why it failed, empty = it succeeded."""

    latencies: Sequence[float]  # seconds
    fault: str


class Crew(Closing):
    """All producers of a plan. Their output goes into files, because a pipe that is not read would block them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            for number in range(plan.producers):
                self._processes.append(self._start(number))
        except BaseException:  # Ctrl-C, too: the caller has no object yet that it could close
            self.close()
            raise

    def at_work(self) -> bool:
        return any(process.poll() is None for process in self._processes)

    def outcomes(self) -> list[Outcome]:
        """To be called when no producer is at work any more."""
        return [self._outcome(number, process) for number, process in enumerate(self._processes)]

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "timestore_pipeline.tools.simulate.producer",
            self._plan.to_json(),
            str(number),
        ]
        # A session of its own: Ctrl-C must reach this process only.
        with self._file(number, "out").open("wb") as output, self._file(number, "err").open("wb") as errors:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
            )

    def _outcome(self, number: int, process: subprocess.Popen[bytes]) -> Outcome:
        output = self._file(number, "out").read_text()
        error = self._file(number, "err").read_text().strip().rpartition("\n")[2]
        fault = "" if process.returncode == 0 else f"producer {number}: {error or f'exit code {process.returncode}'}"
        return Outcome(json.loads(output) if output else (), fault)

    def _file(self, number: int, kind: str) -> Path:
        return self._plan.home / f"producer-{number}.{kind}"
