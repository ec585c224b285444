"""The warm parent: it has imported everything and opened nothing, so a new victim costs a fork, not an import.

    python -m timestore_pipeline.tools.crashtest.fork_server PLAN

PLAN is the plan as JSON. It reads one JSON order per line from standard input, and writes one answer per line to
standard output. It is the parent of all victims, so it never kills a process id that has been reused. When standard
input ends, because the test ended or was killed itself, or on a termination signal, it kills all children and exits.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from timestore_pipeline.system import clock
from timestore_pipeline.tools.crashtest.process_phases import START, Life, PhaseBoard
from timestore_pipeline.tools.crashtest.producer import produce
from timestore_pipeline.tools.crashtest.reader import read_in_a_loop
from timestore_pipeline.tools.crashtest.roles import flush_in_a_loop, maintain_in_a_loop, recover_in_a_loop
from timestore_pipeline.tools.crashtest.sabotage import SABOTAGES
from timestore_pipeline.tools.crashtest.schedule import ROSTER, CrashPlan, Role

_LIVES: dict[Role, Callable[[Life], None]] = {
    Role.PRODUCER: produce,
    Role.FLUSHER: flush_in_a_loop,
    Role.RECOVERY: recover_in_a_loop,
    Role.READER: read_in_a_loop,
    Role.EVOLVER: produce,
    Role.MAINTAINER: maintain_in_a_loop,
}
_AIM_POLL = 0.0002  # seconds
# Seconds until a victim is killed in any phase. A recovery seldom finds a claim to settle: flushes settle them too.
_AIM_PATIENCE = {
    Role.PRODUCER: 0.6,
    Role.FLUSHER: 1.2,
    Role.RECOVERY: 0.4,
    Role.READER: 0.2,
    Role.EVOLVER: 0.6,
    Role.MAINTAINER: 1.2,
}


class ForkServer:
    """Starts, kills and reaps the processes of one test."""

    def __init__(self, plan: CrashPlan) -> None:
        self._plan = plan
        self._board = PhaseBoard(len(ROSTER))
        self._pid = os.getpid()
        self._running: dict[int, int] = {}  # process of the roster -> process id

    def start(self, processes: Sequence[int]) -> dict[str, Any]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until the child can answer it
        for process in processes:
            self._board.clear(process, START)
            self._running[process] = os.fork()
            if self._running[process] == 0:
                self._live(process)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return {"started": len(processes)}

    def strike(self, victims: Sequence[int], aim: str | None, dwell: float) -> dict[str, Any]:
        """Kill all victims at once and restart them; returns their phases, and the processes that had already ended."""
        self._take_aim(victims[0], aim, dwell)
        gone = self._reap_the_dead()
        alive = [process for process in victims if process in self._running]
        for process in alive:
            os.kill(self._running[process], signal.SIGKILL)
        statuses = {process: self._reap(process) for process in alive}
        killed = [[process, self._board.read(process)] for process in alive if statuses[process] == -signal.SIGKILL]
        gone += [[process, status] for process, status in statuses.items() if status != -signal.SIGKILL]
        self.start([process for process in range(len(ROSTER)) if process not in self._running])
        return {"killed": killed, "gone": gone}

    def stop(self, processes: Sequence[int], patience: float) -> dict[str, Any]:
        """Ask processes to end; after `patience` seconds kill the rest. Returns the failed and the killed ones."""
        gone = self._reap_the_dead()
        asked = [process for process in processes if process in self._running]
        for process in asked:
            os.kill(self._running[process], signal.SIGTERM)
        deadline = clock.monotonic() + patience
        while clock.monotonic() < deadline and any(process in self._running for process in asked):
            gone += self._reap_the_dead()
            clock.sleep(0.01)
        return {"gone": [ended for ended in gone if ended[1] != 0], "killed": self._kill_all(asked)}

    def kill_everything(self) -> None:
        self._kill_all(list(self._running))

    def _kill_all(self, processes: Sequence[int]) -> list[list[Any]]:
        left = [process for process in processes if process in self._running]
        for process in left:
            os.kill(self._running[process], signal.SIGKILL)
        return [[process, self._board.read(process)] for process in left if self._reap(process) is not None]

    def _take_aim(self, process: int, phase: str | None, dwell: float) -> None:
        if phase is None:
            return
        deadline = clock.monotonic() + _AIM_PATIENCE[ROSTER[process]]
        while self._board.read(process) != phase and clock.monotonic() < deadline:
            clock.sleep(_AIM_POLL)
        clock.sleep(dwell)

    def _reap_the_dead(self) -> list[list[Any]]:
        """Processes that ended without being killed, with their exit status."""
        found = {process: os.waitpid(pid, os.WNOHANG) for process, pid in self._running.items()}
        dead = [[process, os.waitstatus_to_exitcode(status)] for process, (pid, status) in found.items() if pid]
        for process, _ in dead:
            del self._running[process]
        return dead

    def _reap(self, process: int) -> int:
        _, status = os.waitpid(self._running.pop(process), 0)
        return os.waitstatus_to_exitcode(status)

    def _live(self, process: int) -> NoReturn:
        """The child's whole life; it must never return into the parent's code."""
        status = 1
        try:
            self._redirect(process)
            life = Life(self._plan, process, self._board.marker(process), self._pid)
            life.marker.mark_product()
            if self._plan.sabotage is not None:
                SABOTAGES[self._plan.sabotage]()
            _LIVES[life.role](life)
            status = 0
        except BaseException:  # noqa: BLE001  # every error belongs in the log, and the process ends here
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _redirect(self, process: int) -> None:
        """Standard input has the parent's orders, so the child gets none; its output goes into its log."""
        path = self._plan.logs / f"{ROSTER[process]}-{process}.log"
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        faulthandler.enable()


def main() -> None:
    """Execute orders until standard input ends."""
    document = json.loads(sys.argv[1])
    fork_server = ForkServer(CrashPlan(Path(document.pop("home")), **document))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    gc.freeze()  # a child's first collection would otherwise copy all of these pages
    try:
        for line in sys.stdin:
            name, arguments = json.loads(line)
            answer = getattr(fork_server, name)(**arguments)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        fork_server.kill_everything()


if __name__ == "__main__":
    main()
