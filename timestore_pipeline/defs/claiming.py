"""Claiming for a run: which datasets are refused, which are skipped, and what the run's log says about it."""

import logging
from collections.abc import Sequence

import dagster as dg

from timestore_pipeline.defs.events import materializations
from timestore_pipeline.defs.flush_config import FlushRequest
from timestore_pipeline.defs.handover import CarriedFlush, FailedFlush, Handover
from timestore_pipeline.errors import FlushInFlight
from timestore_pipeline.flush.claim import Claim
from timestore_pipeline.model.flush import Flush, FlushState, Trigger
from timestore_pipeline.model.incident import Incident
from timestore_pipeline.model.log_event import LogEvent
from timestore_pipeline.wiring import Timestore

_log = logging.getLogger(__name__)

_MOST_LISTED = 20  # incidents of one flush


def refuse_unknown(timestore: Timestore, requests: Sequence[FlushRequest]) -> None:
    """Raise `dg.Failure` that names every unknown dataset, before anything is claimed."""
    known = timestore.area.ledger.datasets.names()
    unknown = [repr(request.dataset) for request in requests if request.dataset not in known]
    if unknown:
        names = ", ".join(known) or "none yet"
        raise dg.Failure(
            f"unknown dataset {', '.join(unknown)}; nothing was claimed. Known datasets: {names}", allow_retries=False
        )


def claim_each(context: dg.OpExecutionContext, timestore: Timestore, requests: Sequence[FlushRequest]) -> Handover:
    """Claim what can be claimed. Nothing staged, or a live flush of the same dataset, is no failure."""
    flushes: list[CarriedFlush] = []
    failures: list[FailedFlush] = []
    for request in requests:
        try:
            flushes += _claim(context, timestore, request)
        except FlushInFlight as busy:
            _log.info("%s: skipped, %s", request.dataset, busy)
        except Exception as error:
            context.log.exception("%s: the claim failed", request.dataset)
            failures.append(FailedFlush.of(request.dataset, error))
    _log.info("%s", LogEvent("flushes claimed", flushes=len(flushes), of=len(requests)))
    return Handover(tuple(flushes), tuple(failures))


def _claim(context: dg.OpExecutionContext, timestore: Timestore, request: FlushRequest) -> list[CarriedFlush]:
    claim = timestore.pipeline.claim(request.dataset, Trigger(request.trigger), context.run_id)
    for left in claim.left_out:
        context.log.warning(
            "%s: journal %s is left out, its batches stay pending: %s", claim.dataset, left.journal_id, left.reason
        )
    _report_settled(context, timestore, claim)
    for incident in claim.set_aside:
        log_set_aside(context, incident)
    if claim.ref is None:
        _log.info("%s: nothing to claim", request.dataset)
        return []
    size = timestore.area.ledger.flushes.get(claim.ref).volume.bytes
    alone = timestore.area.ledger.flush_failures.most_claim_bytes(request.dataset) is not None
    return [CarriedFlush(claim.ref, request.overrides.parquet_options(), bytes=size, alone=alone)]


def log_set_aside(context: dg.OpExecutionContext, incident: Incident) -> None:
    """One incident that an operator has to decide on, with the command that shows it."""
    context.log.warning(
        "%s: %d batches of %d rows were set aside (%s), see `timestore quarantine show %d`: %s",
        incident.dataset, incident.volume.batches, incident.volume.rows, incident.reason, incident.incident_id,
        incident.error,
    )  # fmt: skip


def log_set_aside_since(context: dg.OpExecutionContext, timestore: Timestore, flush: Flush) -> None:
    """The incidents since the claim, at most `_MOST_LISTED`: a thousand bad batches must not fill the log."""
    incidents = timestore.area.ledger.incidents.all(flush.dataset)
    fresh = [incident for incident in incidents if incident.opened_at >= flush.claimed_at]
    for incident in fresh[:_MOST_LISTED]:
        log_set_aside(context, incident)
    if len(fresh) > _MOST_LISTED:
        context.log.warning("%s: and %d more were set aside", flush.dataset, len(fresh) - _MOST_LISTED)


def _report_settled(context: dg.OpExecutionContext, timestore: Timestore, claim: Claim) -> None:
    """An interrupted flush that the Delta log has is reported here: the run that published it never reported it."""
    if claim.settled is None:
        return
    flush = timestore.area.ledger.flushes.get(claim.settled.ref)
    context.log.warning(
        "%s: interrupted epoch %d of run %s is %s now", claim.dataset, flush.epoch, flush.run_id, flush.state
    )
    if flush.state is FlushState.PUBLISHED:
        for event in materializations(timestore, flush):
            context.log_event(event)
