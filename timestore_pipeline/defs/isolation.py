"""One phase over the datasets of a run, each on its own: what one dataset suffers never stops another.

The pipeline has abandoned a failed flush before its error arrives here, so all that is left is to remember it. A
termination is not an error: it passes, the worker's exit frees every claim it held, and the next flushes settle them.
"""

from collections.abc import Callable

import dagster as dg

from timestore_pipeline.defs.handover import CarriedFlush, FailedFlush, Handover

Phase = Callable[[CarriedFlush], CarriedFlush]


def in_isolation(before: Handover, phase: Phase, log: dg.DagsterLogManager) -> Handover:
    """Run the phase for every flush; those that fail move to the failures."""
    flushes: list[CarriedFlush] = []
    failures = list(before.failures)
    for flush in before.flushes:
        try:
            flushes.append(phase(flush))
        except Exception as error:
            log.exception("flush %d of dataset %s failed", flush.ref.epoch, flush.ref.dataset)
            failures.append(FailedFlush.of(flush.ref.dataset, error))
    return Handover(tuple(flushes), tuple(failures))


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
