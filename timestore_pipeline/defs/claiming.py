"""Claiming for a run: which datasets are refused, which are skipped, and what the run's log says about it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from timestore_pipeline.defs.events import materializations
from timestore_pipeline.defs.flush_config import ClaimConfig
from timestore_pipeline.defs.handover import CarriedFlush, FailedFlush, Handover
from timestore_pipeline.errors import FlushInFlight, InvalidFlushSettings
from timestore_pipeline.flush.claim import Claim
from timestore_pipeline.flush.dataset_status import check_settings
from timestore_pipeline.model.batch import Incident
from timestore_pipeline.model.flush import Flush, FlushState, Trigger
from timestore_pipeline.model.thresholds import FlushSettings
from timestore_pipeline.system.legible import LogEvent
from timestore_pipeline.wiring import Timestore

_log = logging.getLogger(__name__)

_MOST_LISTED = 20  # incidents of one flush


@dataclass(frozen=True, slots=True)
class Order:
    """A flush that a run is to make, with everything that is in force for it."""

    dataset: str
    trigger: Trigger
    settings: FlushSettings


def orders_of(timestore: Timestore, config: ClaimConfig) -> list[Order]:
    """Raise `dg.Failure` that names every unknown dataset, or every wrong value, before anything is claimed."""
    configured = timestore.all_flush_settings()
    if unknown := [repr(flush.dataset) for flush in config.flushes if flush.dataset not in configured]:
        names = ", ".join(sorted(configured)) or "none yet"
        raise dg.Failure(
            f"unknown dataset {', '.join(unknown)}; nothing was claimed. Known datasets: {names}", allow_retries=False
        )
    orders = [
        Order(flush.dataset, Trigger(flush.trigger), config.settings_of(flush, configured[flush.dataset]))
        for flush in config.flushes
    ]
    _refuse_wrong(timestore, orders)
    return orders


def _refuse_wrong(timestore: Timestore, orders: Sequence[Order]) -> None:
    """The values of the sensor are right: they were checked when they were set, and columns never go."""
    sorted_ones = [order.dataset for order in orders if order.settings.sort_by]
    columns = timestore.area.ledger.datasets.columns(sorted_ones) if sorted_ones else {}
    wrong: list[FailedFlush] = []
    for order in orders:
        try:
            check_settings(order.dataset, order.settings, columns.get(order.dataset, []))
        except InvalidFlushSettings as error:
            wrong.append(FailedFlush.of(order.dataset, error))
    if wrong:
        listed = "\n".join(f"- {failure}" for failure in wrong)
        raise dg.Failure(
            f"wrong values in the run's configuration; nothing was claimed:\n{listed}", allow_retries=False
        )


def claim_each(context: dg.OpExecutionContext, timestore: Timestore, orders: Sequence[Order]) -> Handover:
    """Claim what can be claimed. Nothing staged, or a live flush of the same dataset, is no failure."""
    flushes: list[CarriedFlush] = []
    failures: list[FailedFlush] = []
    for order in orders:
        try:
            flushes += _claim(context, timestore, order)
        except FlushInFlight as busy:
            _log.info("%s: skipped, %s", order.dataset, busy)
        except Exception as error:
            context.log.exception("%s: the claim failed", order.dataset)
            failures.append(FailedFlush.of(order.dataset, error))
    _log.info("%s", LogEvent("flushes claimed", flushes=len(flushes), of=len(orders)))
    return Handover(tuple(flushes), tuple(failures))


def _claim(context: dg.OpExecutionContext, timestore: Timestore, order: Order) -> list[CarriedFlush]:
    most_bytes = timestore.claim_bytes(order.settings)
    claim = timestore.pipeline.claim(order.dataset, order.trigger, context.run_id, most_bytes)
    for left in claim.left_out:
        context.log.warning(
            "%s: journal %s is left out, its batches stay pending: %s", claim.dataset, left.journal_id, left.reason
        )
    _report_settled(context, timestore, claim)
    if claim.ref is None:
        _log.info("%s: nothing to claim", order.dataset)
        return []
    size = timestore.area.ledger.flushes.get(claim.ref).volume.bytes
    alone = timestore.area.ledger.flush_failures.most_claim_bytes(order.dataset) is not None
    return [CarriedFlush(claim.ref, order.settings, bytes=size, alone=alone)]


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
