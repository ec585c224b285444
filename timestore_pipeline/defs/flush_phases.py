"""One phase of a run, for each of its datasets: a dataset that fails never stops another.

The pipeline has abandoned a failed flush before its error arrives here, so the error only has to be recorded. A
termination is not caught: the worker's exit frees every claim that it held, and the next flushes settle them.

Small flushes run a few at a time, in threads, because they mostly wait for the disk or the object store. Only the run's
own thread calls Dagster. A large flush runs alone in that thread, with all the memory, so that it can be interrupted;
the small ones go first.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import dagster as dg

from timestore_pipeline.defs.handover import CarriedFlush, FailedFlush, Handover
from timestore_pipeline.system import clock
from timestore_pipeline.system.legible import LogEvent

LOG_EVERY = 10.0  # seconds between two lines about a phase's progress

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """How many flushes run at a time, and up to which size; `most_bytes`: Arrow data of one flush."""

    threads: int = 1
    most_bytes: int = 0

    def shares_with(self, flush: CarriedFlush) -> bool:
        return self.threads > 1 and not flush.alone and flush.bytes <= self.most_bytes


def run_phase(
    participle: str,
    before: Handover,
    *,
    work: Callable[[CarriedFlush], Result],
    report: Callable[[CarriedFlush, Result], CarriedFlush],
    log: logging.Logger,
    pool: WorkerPool,
) -> Handover:
    """Run the phase for every flush. A flush that fails moves to the failures; the others keep their order.

    participle: of the phase, for the log, such as "exported". work: called in any thread. report: called with the
    result of `work`, in the run's own thread.
    """
    done: dict[str, CarriedFlush] = {}
    failures = list(before.failures)
    progress = Progress(participle, len(before.flushes))
    with closing(_outcomes(before.flushes, work, pool)) as outcomes:
        for flush, outcome in outcomes:
            try:
                done[flush.ref.dataset] = report(flush, outcome())
            except Exception as error:
                log.exception("flush %d of dataset %s failed", flush.ref.epoch, flush.ref.dataset)
                failures.append(FailedFlush.of(flush.ref.dataset, error))
            progress.step(len(done))
    return Handover(tuple(done[f.ref.dataset] for f in before.flushes if f.ref.dataset in done), tuple(failures))


class Progress:
    """A log line every `LOG_EVERY` seconds while a phase lasts, none when it is short."""

    def __init__(self, participle: str, of: int) -> None:
        self._event, self._of = f"flushes {participle}", of
        self._began = self._logged = clock.monotonic()

    def step(self, succeeded: int) -> None:
        """succeeded: number of flushes so far."""
        now = clock.monotonic()
        if now - self._logged >= LOG_EVERY:
            self._logged = now
            _log.info("%s", LogEvent(self._event, flushes=succeeded, of=self._of, seconds=now - self._began))


Outcome = Callable[[], Result]  # returns the result of the work, or raises its error


def _outcomes(
    flushes: Sequence[CarriedFlush], work: Callable[[CarriedFlush], Result], pool: WorkerPool
) -> Generator[tuple[CarriedFlush, Outcome[Result]]]:
    small = [flush for flush in flushes if pool.shares_with(flush)]
    if len(small) > 1:
        yield from _in_threads(small, work, pool.threads)
    for flush in flushes:
        if len(small) < 2 or flush not in small:
            yield flush, partial(work, flush)


def _in_threads(
    flushes: Iterable[CarriedFlush], work: Callable[[CarriedFlush], Result], threads: int
) -> Generator[tuple[CarriedFlush, Outcome[Result]]]:
    """If interrupted, wait for the running flushes, which are small, and begin no other."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="timestore-flush")
    try:
        futures = {pool.submit(work, flush): flush for flush in flushes}
        for future in as_completed(futures):
            yield futures[future], future.result
    finally:
        pool.shutdown(cancel_futures=True)


def raise_failures(result: Handover) -> None:
    """Fail the run if any dataset failed; the error lists every failed dataset with its code and its remedy."""
    if not result.failures:
        return
    total = len(result.failures) + len(result.flushes)
    listed = "\n".join(f"- {failure}" for failure in result.failures)
    raise dg.Failure(
        f"{len(result.failures)} of {total} datasets were not flushed; what they had staged is safe:\n{listed}",
        metadata={failure.dataset: failure.code for failure in result.failures},
        allow_retries=False,  # a retry is a new flush with a new epoch, and the sensor's decision
    )
