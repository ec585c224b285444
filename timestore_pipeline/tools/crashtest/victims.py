"""The test's side of the fork server: sends orders, reads answers, and counts the kills by role and phase."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.system.context_managers import Closing
from timestore_pipeline.tools.crashtest.process_phases import TARGETS
from timestore_pipeline.tools.crashtest.schedule import ROSTER, CrashPlan, Role, Strike


@dataclass(slots=True)
class KillCounts:
    """`phases`: (role, phase) -> kills. `faults`: processes that ended without having been killed, or never ended."""

    phases: Counter[tuple[Role, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    hosts_lost: int = 0  # times that all processes were killed at once
    took: list[float] = field(default_factory=list)  # seconds of each strike with the pause before it, in order

    @property
    def kills(self) -> int:
        return self.phases.total()


class Victims(Closing):
    """All processes of the roster; they run until `close`, which kills them."""

    def __init__(self, plan: CrashPlan) -> None:
        self.tally = KillCounts()
        self._plan = plan
        # The plan's own fields, whatever a subclass adds.
        document = {"home": str(plan.home), "kills": plan.kills, "seed": plan.seed, "sabotage": plan.sabotage}
        command = [sys.executable, "-m", "timestore_pipeline.tools.crashtest.fork_server", json.dumps(document)]
        # A session of its own: Ctrl-C must reach this process only.
        with (plan.logs / "fork-server.log").open("w") as log:
            self._fork_server = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )

    def start(self) -> None:
        self._order("start", processes=list(range(len(ROSTER))))

    def strike(self, strike: Strike) -> None:
        """Kill and restart; returns when the new processes are forked."""
        targets = TARGETS[ROSTER[strike.victims[0]]]
        aim = targets[int(strike.choice * len(targets))] if strike.aimed else None
        self.tally.hosts_lost += strike.takes_the_host
        answer = self._order("strike", victims=list(strike.victims), aim=aim, dwell=strike.dwell)
        self.tally.phases.update((ROSTER[process], phase) for process, phase in answer["killed"])
        self._note_gone(answer["gone"])

    def stop(self, roles: Sequence[Role], patience: float) -> None:
        """Let them end by themselves within `patience` seconds."""
        chosen = [process for process, role in enumerate(ROSTER) if role in roles]
        answer = self._order("stop", processes=chosen, patience=patience)
        self._note_gone(answer["gone"])
        for process, phase in answer["killed"]:
            self.tally.faults.append(f"{ROSTER[process]} {process} did not end within {patience:.0f} s ({phase})")

    def close(self) -> None:
        """Kill the processes that still run."""
        assert self._fork_server.stdin is not None
        with suppress(BrokenPipeError):  # it died before it had read its last order
            self._fork_server.stdin.close()
        self._fork_server.terminate()  # it may be in the middle of an order
        self._fork_server.wait()
        assert self._fork_server.stdout is not None
        self._fork_server.stdout.close()

    def _order(self, name: str, **arguments: Any) -> dict[str, Any]:
        assert self._fork_server.stdin is not None
        assert self._fork_server.stdout is not None
        try:
            self._fork_server.stdin.write(json.dumps([name, arguments]) + "\n")
            self._fork_server.stdin.flush()
            answer: dict[str, Any] = json.loads(self._fork_server.stdout.readline())
        except (BrokenPipeError, ValueError) as error:
            hint = f"see {self._plan.logs / 'fork-server.log'}"
            raise TimestoreError("the parent of the test's processes is gone", hint=hint) from error
        return answer

    def _note_gone(self, gone: Sequence[tuple[int, int]]) -> None:
        for process, status in gone:
            log = self._plan.logs / f"{ROSTER[process]}-{process}.log"
            self.tally.faults.append(f"{ROSTER[process]} {process} ended by itself with status {status}: see {log}")
