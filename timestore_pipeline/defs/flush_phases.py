"""One phase over the datasets of a run, each on its own: what one dataset suffers never stops another.

The pipeline has abandoned a failed flush before its error arrives here, so all that is left is to remember it. A
termination is not an error: it passes, the worker's exit frees every claim it held, and the next flushes settle them.

A few flushes at a time, in threads: a small flush mostly waits, for the disk or the object store. Only the run's own
thread speaks to Dagster. A large flush has that thread, all the memory and the time to itself, so that it can be
interrupted; the small ones go first.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import dagster as dg

from timestore_pipeline import clock
from timestore_pipeline.defs.handover import CarriedFlush, FailedFlush, Handover
from timestore_pipeline.model.log_event import LogEvent

TELL_EVERY = 10.0  # seconds between two lines about how far a phase has got

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Phase(Generic[Result]):
    """What is done with one flush; `done`: the participle for the log."""

    done: str
    work: Callable[[CarriedFlush], Result]  # in any thread
    report: Callable[[CarriedFlush, Result], CarriedFlush]  # afterwards, in the run's own


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """How many flushes are worked on at a time, and which are too large for that; bytes: Arrow data of a flush."""

    threads: int = 1
    most_bytes: int = 0

    def shares_with(self, flush: CarriedFlush) -> bool:
        return self.threads > 1 and not flush.alone and flush.bytes <= self.most_bytes


def in_isolation(before: Handover, phase: Phase[Result], log: logging.Logger, crew: WorkerPool) -> Handover:
    """Run the phase for every flush; those that fail move to the failures. The order stays."""
    done: dict[str, CarriedFlush] = {}
    failures = list(before.failures)
    progress = Progress(phase.done, len(before.flushes))
    with closing(_outcomes(before.flushes, phase.work, crew)) as outcomes:
        for flush, outcome in outcomes:
            try:
                done[flush.ref.dataset] = phase.report(flush, outcome())
            except Exception as error:
                log.exception("flush %d of dataset %s failed", flush.ref.epoch, flush.ref.dataset)
                failures.append(FailedFlush.of(flush.ref.dataset, error))
            progress.step(len(done))
    return Handover(tuple(done[f.ref.dataset] for f in before.flushes if f.ref.dataset in done), tuple(failures))


class Progress:
    """A line now and then while a phase lasts, none when it is short."""

    def __init__(self, done: str, of: int) -> None:
        self._done, self._of = done, of
        self._began = self._told = clock.monotonic()

    def step(self, well: int) -> None:
        """well: flushes that succeeded so far."""
        now = clock.monotonic()
        if now - self._told >= TELL_EVERY:
            self._told = now
            _log.info("%s", LogEvent(f"flushes {self._done}", flushes=well, of=self._of, seconds=now - self._began))


Outcome = Callable[[], Result]  # gives what the work came to, or raises what it raised


def _outcomes(
    flushes: Sequence[CarriedFlush], work: Callable[[CarriedFlush], Result], crew: WorkerPool
) -> Generator[tuple[CarriedFlush, Outcome[Result]]]:
    small = [flush for flush in flushes if crew.shares_with(flush)]
    if len(small) > 1:
        yield from _by_threads(small, work, crew.threads)
    for flush in flushes:
        if len(small) < 2 or flush not in small:
            yield flush, partial(work, flush)


def _by_threads(
    flushes: Iterable[CarriedFlush], work: Callable[[CarriedFlush], Result], threads: int
) -> Generator[tuple[CarriedFlush, Outcome[Result]]]:
    """Interrupted, it waits for the flushes at work, which are small, and begins no other."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="timestore-flush")
    try:
        futures = {pool.submit(work, flush): flush for flush in flushes}
        for future in as_completed(futures):
            yield futures[future], future.result
    finally:
        pool.shutdown(cancel_futures=True)


def raise_failures(result: Handover) -> None:
    """End the run as failed if any dataset failed, with every one of them, its error code and its remedy."""
    if not result.failures:
        return
    total = len(result.failures) + len(result.flushes)
    listed = "\n".join(f"- {failure}" for failure in result.failures)
    raise dg.Failure(
        f"{len(result.failures)} of {total} datasets were not flushed; what they had staged is safe:\n{listed}",
        metadata={failure.dataset: failure.code for failure in result.failures},
        allow_retries=False,  # a retry is a new flush with a new epoch, and the sensor's decision
    )
