"""A simulation from the empty directory to the verdict.

    prepare -> producers send, due datasets are flushed -> drain -> judge

Producers are processes: started together, watched, and killed if they outlive the simulation. Flushes run in this
process, by the same decision and through the same phases as in Dagster, except that Dagster also has to start a run.
Interrupted at any point, it ends its processes and leaves the directory as it is.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from timestore_pipeline.model.flush import Flush, FlushState, Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.system import clock
from timestore_pipeline.system.context_managers import Closing
from timestore_pipeline.tools.crashtest.oracle import judge
from timestore_pipeline.tools.crashtest.producer_journal import read_story
from timestore_pipeline.tools.crashtest.run import check_is_new, drain, flush_once
from timestore_pipeline.tools.simulate.load import Load
from timestore_pipeline.tools.simulate.validation import Measured, SimulationReport
from timestore_pipeline.wiring import Timestore

RUN = "simulation"
_LOOK = 0.2  # seconds between two looks at the backlogs
_EVERYTHING = 1_000_000_000
Progress = Callable[[int], None]  # called with the number of batches acknowledged so far


@dataclass(frozen=True, slots=True)
class ProducerOutcome:
    """The result of one producer. `fault`: why it failed, empty = it succeeded."""

    latencies: Sequence[float]  # seconds
    fault: str


class Crew(Closing):
    """All producers of a plan. Their output goes into files, because a pipe that is not read would block them."""

    def __init__(self, plan: Load) -> None:
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

    def outcomes(self) -> list[ProducerOutcome]:
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
            "timestore_pipeline.tools.simulate.load",
            self._plan.to_json(),
            str(number),
        ]
        # A session of its own: Ctrl-C must reach this process only.
        with self._file(number, "out").open("wb") as output, self._file(number, "err").open("wb") as errors:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
            )

    def _outcome(self, number: int, process: subprocess.Popen[bytes]) -> ProducerOutcome:
        output = self._file(number, "out").read_text()
        error = self._file(number, "err").read_text().strip().rpartition("\n")[2]
        fault = "" if process.returncode == 0 else f"producer {number}: {error or f'exit code {process.returncode}'}"
        return ProducerOutcome(json.loads(output) if output else (), fault)

    def _file(self, number: int, kind: str) -> Path:
        return self._plan.home / f"producer-{number}.{kind}"


@dataclass
class _Watch:
    """Observations while the producers work."""

    problems: list[str] = field(default_factory=list)
    peak_batches: int = 0
    peak_bytes: int = 0


def simulate(plan: Load, slo: float, progress: Progress = lambda _batches: None) -> SimulationReport:
    """slo: seconds that 95 of 100 flushes may take. Raises `InvalidInput` if `plan.home` is not new or empty."""
    check_is_new(plan.home)
    plan.journals.mkdir(parents=True)
    watch = _Watch()
    with Timestore(plan.settings()) as store:
        for name in plan.names():
            store.set_metadata(name, {"time_column": "at"})
        began = clock.monotonic()
        outcomes = _produce(plan, store, watch, progress)
        produced = clock.monotonic() - began
        watch.problems += drain(store, plan.names(), RUN)
        return _report(plan, slo, store, watch, outcomes, (produced, clock.monotonic() - began - produced))


def _produce(plan: Load, store: Timestore, watch: _Watch, progress: Progress) -> list[ProducerOutcome]:
    with Crew(plan) as crew:
        while crew.at_work():
            _look(store, watch, progress)
            clock.sleep(_LOOK)
        return crew.outcomes()


def _look(store: Timestore, watch: _Watch, progress: Progress) -> None:
    """Flush the due datasets, as a tick of the sensor does."""
    statuses = store.statuses()
    progress(sum(status.backlog.accepted.batches for status in statuses))
    watch.peak_batches = max(watch.peak_batches, sum(status.backlog.queued.batches for status in statuses))
    watch.peak_bytes = max(watch.peak_bytes, sum(status.backlog.disk_bytes for status in statuses))
    for status in statuses:
        if status.decision.due:
            trigger = status.decision.trigger or Trigger.MANUAL
            watch.problems += flush_once(store, status.backlog.dataset, trigger, RUN)


def _report(
    plan: Load,
    slo: float,
    store: Timestore,
    watch: _Watch,
    outcomes: list[ProducerOutcome],
    seconds: tuple[float, float],
) -> SimulationReport:
    flushes = store.area.ledger.flushes.history(most=_EVERYTHING)
    stories = {number: read_story(plan.journals, number) for number in range(plan.producers)}
    return SimulationReport(
        plan=plan,
        slo=slo,
        verdict=judge(plan.lake, stories, plan.names()),
        verify_problems=verify(store.area, store.lake).sentences(),
        depth=sum(status.backlog.queued.batches for status in store.statuses()),
        drops=_drops(store),
        refusals=sum(story.refused for story in stories.values()),
        faults=[*watch.problems, *(outcome.fault for outcome in outcomes if outcome.fault)],
        measured=_measured(watch, outcomes, flushes, seconds),
    )


def _drops(store: Timestore) -> dict[str, int]:
    """By reason, as the metric counts them."""
    found: dict[str, int] = {}
    for counter in store.area.ledger.counters.all():
        if counter.series == "dropped_batches_total" and counter.value:
            reason = counter.labels["reason"]
            found[reason] = found.get(reason, 0) + int(counter.value)
    return found


def _measured(
    watch: _Watch, outcomes: list[ProducerOutcome], flushes: list[Flush], seconds: tuple[float, float]
) -> Measured:
    published = [flush for flush in flushes if flush.state is FlushState.PUBLISHED]
    latencies = [latency for outcome in outcomes for latency in outcome.latencies]
    return Measured(
        producing_seconds=seconds[0],
        draining_seconds=seconds[1],
        peak_batches=watch.peak_batches,
        peak_disk_bytes=watch.peak_bytes,
        flushes=len(published),
        failed_flushes=len(flushes) - len(published),
        files=sum(flush.files for flush in published),
        file_bytes=sum(flush.file_bytes for flush in published),
        flush_p95=percentile([flush.duration.total_seconds() for flush in published if flush.duration], 95),
        ack_p50=percentile(latencies, 50),
        ack_p95=percentile(latencies, 95),
    )


def percentile(values: list[float], share: int) -> float | None:
    """The percentile `share`, interpolated; None for an empty list."""
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return min(statistics.quantiles(values, n=100, method="inclusive")[share - 1], max(values))
