"""Kills in the middle of the year: a producer, a run worker that holds a claim, the daemon and the code server.

Every kill is `kill -9`, and every one is proven: a victim that ended by itself does not count, and another one is
killed. This module does not check the result: the rows are compared in the end, like those of a run without kills.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from demo.airports import AirportProcesses
from demo.dagster_processes import DagsterProcesses
from timestore_pipeline.model.flush import Flush, FlushRef
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

_VICTIM = "JFK"
_END_SECONDS = 10.0
_LOOKS = 50
_BETWEEN_LOOKS_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill, and its proof."""

    victim: str
    proof: str
    flush: FlushRef | None = None  # the claim that the victim worked on


class Chaos:
    """Call `look` often; each planned kill comes once its share of the rows is staged."""

    def __init__(self, airports: AirportProcesses, dagster: DagsterProcesses, timestore: Timestore) -> None:
        self.kills: list[Kill] = []
        self._airports = airports
        self._dagster = dagster
        self._timestore = timestore
        self._plan: deque[tuple[float, str, Callable[[], Kill | None]]] = deque(
            [
                (0.25, "producer", self._kill_producer),
                (0.40, "run worker", self._kill_worker),
                (0.65, "daemon and code server", self._kill_daemon),
            ]
        )

    def look(self, staged_share: float) -> Kill | None:
        """Execute a due kill; None when none is due, or when the victim could not be killed yet."""
        if not self._plan or staged_share < self._plan[0][0]:
            return None
        kill = self._plan[0][2]()
        if kill is not None:
            self._plan.popleft()
            self.kills.append(kill)
        return kill

    def missed(self) -> list[str]:
        """The victims that were not killed."""
        return [victim for _, victim, _ in self._plan]

    def outcome_of(self, kill: Kill) -> str:
        """The proof, and the outcome of the claim."""
        if kill.flush is None:
            return kill.proof
        flush = self._timestore.area.ledger.flushes.get(kill.flush)
        return f"{kill.proof}; that flush ended {flush.state}"

    def _kill_producer(self) -> Kill | None:
        pid = self._airports.kill(_VICTIM)
        proof = f"process {pid} ended by signal 9, a new one replays {_VICTIM} from the first batch"
        return Kill("producer", proof) if pid else None

    def _kill_worker(self) -> Kill | None:
        """A claim lasts a fraction of a second, so look often for a while."""
        for _ in range(_LOOKS):
            kill = self._kill_owner_of_a_claim()
            if kill is not None:
                return kill
            clock.sleep(_BETWEEN_LOOKS_SECONDS)
        return None

    def _kill_owner_of_a_claim(self) -> Kill | None:
        owners = {process.process_id: process.pid for process in self._timestore.area.ledger.processes.all()}
        for flush in self._timestore.area.ledger.flushes.in_flight():
            if flush.owner in owners and self._kill_in_flight(owners[flush.owner], flush):
                proof = f"process {owners[flush.owner]} in the middle of flush {flush.epoch} of {flush.dataset}"
                return Kill("run worker", proof, FlushRef(flush.dataset, flush.epoch))
        return None

    def _kill_in_flight(self, pid: int, claimed: Flush) -> bool:
        """Stop the process first, so that it cannot finish between the look at its claim and the kill."""
        try:
            worker = psutil.Process(pid)
            if worker not in self._dagster.run_workers():  # a sensor's or a command's claim
                return False
            worker.suspend()
            if claimed.epoch not in self._epochs_in_flight(claimed.dataset):
                worker.resume()
                return False
            worker.kill()
        except psutil.NoSuchProcess:
            return False
        psutil.wait_procs([worker], _END_SECONDS)
        return not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE

    def _epochs_in_flight(self, dataset: str) -> set[int]:
        return {flush.epoch for flush in self._timestore.area.ledger.flushes.in_flight(dataset)}

    def _kill_daemon(self) -> Kill:
        daemon, code_server = self._dagster.restart_after_kill()
        return Kill("daemon and code server", f"processes {daemon} and {code_server} ended by signal 9, both restarted")
