"""`timestore explain`: why a dataset is or is not flushing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from timestore_pipeline import clock
from timestore_pipeline.cli.arguments import Dataset
from timestore_pipeline.cli.output import AsJson, print_fields, print_json, print_line
from timestore_pipeline.cli.session import open_store, sensor_lateness
from timestore_pipeline.cli.wording import (
    count,
    duration,
    flush_document,
    flush_sentence,
    incident_document,
    incident_sentence,
    instant,
    iso,
    size,
)
from timestore_pipeline.flush.status import DatasetStatus
from timestore_pipeline.model.flush import Flush
from timestore_pipeline.model.incident import Incident
from timestore_pipeline.model.layout_words import NO_TIME, declare_time
from timestore_pipeline.settings import dagster_home
from timestore_pipeline.wiring import Timestore

if TYPE_CHECKING:
    from timestore_pipeline.defs.run_queue import HeldBy

_log = logging.getLogger(__name__)

_MEASURED = {
    "bytes": "staged",
    "disk_bytes": "on disk, the guardrail",
    "total_disk_bytes": "on disk for all datasets, the total guardrail",
}


@dataclass(frozen=True, slots=True)
class LimitUse:
    """The used share of one limit; units follow from its name."""

    limit: str  # rows, bytes, age_seconds, disk_bytes or total_disk_bytes
    value: float
    threshold: float

    @property
    def share(self) -> float:
        return self.value / self.threshold


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it, read at one moment."""

    status: DatasetStatus
    limits: tuple[LimitUse, ...]  # those that are switched on, the nearest first
    in_flight: Flush | None
    last: Flush | None
    incidents: tuple[Incident, ...]  # open ones
    complete_until: datetime  # every batch acknowledged before is published
    sensor_late: str | None  # why the sensor may not flush a due dataset; None = it ticks
    run: HeldBy | None  # Dagster's run for a due dataset; None = none yet, or DAGSTER_HOME is unset
    now: datetime

    @property
    def binding(self) -> LimitUse | None:
        """The nearest limit; None = nothing is pending, or all limits are off."""
        return self.limits[0] if self.limits and self.status.backlog.pending.batches else None

    @property
    def when(self) -> str:
        """When it will be flushed, as far as it is known now."""
        backlog, decision = self.status.backlog, self.status.decision
        if self.run is not None:
            return self.run.sentence + (f"; {self.sensor_late}" if self.sensor_late else "")
        if decision.due:
            by_hand = f"not by itself, {self.sensor_late}; `timestore flush {decision.dataset} --now` does it here"
            return by_hand if self.sensor_late else "at the sensor's next tick, within ten seconds"
        if backlog.claim_trigger is not None:
            return "now; what has come in since is decided on when this flush has ended"
        if not backlog.pending.batches:
            return "when something is staged"
        if decision.waits_for:
            return decision.waits_for
        if decision.due_at is None:
            return "not by itself while it is paused" if backlog.paused else "when a limit is reached; age is off"
        left = f"at {instant(decision.due_at)}, in {duration(max(decision.due_at - self.now, timedelta(0)))}"
        if self.sensor_late is not None:
            return f"{left}; {self.sensor_late}"
        return left if backlog.backs_off(self.now) else f"{left}, or when another limit is reached"

    def to_dict(self) -> dict[str, Any]:
        backlog, decision = self.status.backlog, self.status.decision
        return {
            "dataset": decision.dataset,
            "due": decision.due,
            "trigger": decision.trigger,
            "reason": decision.reason,
            "due_at": iso(decision.due_at),
            "when": self.when,
            "sensor_late": self.sensor_late is not None,
            "run": None if self.run is None else self.run.to_dict(),
            "complete_until": iso(self.complete_until),
            "binding": self.binding.limit if self.binding else None,
            "limits": [
                {"limit": use.limit, "value": use.value, "threshold": use.threshold, "share": use.share}
                for use in self.limits
            ],
            "in_flight": None if self.in_flight is None else flush_document(self.in_flight),
            "in_flight_interrupted": backlog.interrupted,
            "last_flush": None if self.last is None else flush_document(self.last),
            "layout_open": backlog.layout_open,
            "failures": backlog.failures,
            "retry_at": iso(decision.due_at if backlog.failures else None),
            "paused": backlog.paused,
            "manual_requested_at": iso(backlog.manual_requested_at),
            "incidents": [incident_document(incident) for incident in self.incidents],
        }

    def fields(self) -> Iterator[tuple[str, str]]:
        """Name and sentence, as `timestore explain` prints them."""
        backlog = self.status.backlog
        yield "when", self.when
        yield "pending", f"{count(backlog.pending.batches, 'batch')}, {count(backlog.pending.rows, 'row')}"
        if self.binding is not None:
            yield "binding limit", _use_sentence(self.binding)
        for use in self.limits:
            if use is not self.binding:
                yield "", _use_sentence(use)
        if self.in_flight is not None:
            worker = "its process is gone" if backlog.interrupted else "its process is alive"
            yield "in flight", f"{flush_sentence(self.in_flight)}; {worker}"
        if self.last is not None:
            yield "last flush", flush_sentence(self.last)
        yield "complete until", f"{instant(self.complete_until)}; what was acknowledged before is published"
        yield from self._obstacles()

    def _obstacles(self) -> Iterator[tuple[str, str]]:
        backlog = self.status.backlog
        if backlog.layout_open and not self.status.decision.waits_for:
            names = declare_time(backlog.dataset)
            yield "layout", f"{NO_TIME}: a flush publishes without partitions, for good; `{names}` names the column"
        if backlog.paused:
            yield "paused", "yes, until `timestore resume`; a manual flush still works"
        if backlog.failures:
            yield "failures in a row", str(backlog.failures)
        for incident in self.incidents:
            yield "quarantined", incident_sentence(incident)


def explain_dataset(store: Timestore, dataset: str, now: datetime) -> Explanation:
    """Gather it; raises `UnknownDataset`."""
    status = store.status(dataset)
    flushes = store.area.ledger.flushes
    in_flight = next(iter(flushes.in_flight(dataset)), None)
    ended = (flush for flush in flushes.history(dataset, most=2) if flush.finished_at is not None)
    return Explanation(
        status,
        _limits(store, status, now),
        in_flight,
        next(ended, None),
        tuple(store.area.ledger.incidents.all(dataset)),
        store.area.ledger.batches.complete_until(dataset),
        sensor_lateness(store),
        _run_of(store, dataset, now) if status.decision.due else None,
        now,
    )


def _run_of(store: Timestore, dataset: str, now: datetime) -> HeldBy | None:
    """Asked only for a due dataset: importing Dagster takes seconds. A Dagster that does not answer is logged."""
    home = dagster_home()
    if home is None or find_spec("dagster") is None:
        return None
    from timestore_pipeline.defs.run_queue import run_of

    try:
        return run_of(home, store.area, dataset, now)
    except Exception as error:  # noqa: BLE001  # of any storage; the explanation does without
        _log.warning("Dagster's storage does not say which run has %s: %s", dataset, error)
        return None


def _limits(store: Timestore, status: DatasetStatus, now: datetime) -> tuple[LimitUse, ...]:
    backlog, thresholds = status.backlog, status.thresholds
    waited = (now - backlog.oldest_pending_at).total_seconds() if backlog.oldest_pending_at else 0.0
    uses = [
        LimitUse("rows", backlog.pending.rows, thresholds.max_rows),
        LimitUse("bytes", backlog.pending.bytes, thresholds.max_bytes),
        LimitUse("age_seconds", max(waited, 0.0), thresholds.max_age.total_seconds()),
        LimitUse("disk_bytes", backlog.disk_bytes, store.settings.staging_max_dataset_bytes),
        LimitUse("total_disk_bytes", *_total_use(store)),
    ]
    return tuple(sorted((use for use in uses if use.threshold), key=lambda use: -use.share))


def _total_use(store: Timestore) -> tuple[int, int]:
    """Counted only if there is a limit, because it reads the size of every segment of every dataset."""
    limit = store.settings.staging_max_total_bytes
    return (store.area.total_bytes() if limit else 0), limit


def _use_sentence(use: LimitUse) -> str:
    share = f"{use.share:.0%}"
    if use.limit == "age_seconds":
        return f"age {use.value:.1f} of {use.threshold:.1f} s ({share})"
    if use.limit == "rows":
        return f"{use.value:,.0f} of {use.threshold:,.0f} rows ({share})"
    return f"{size(use.value)} of {size(use.threshold)} {_MEASURED[use.limit]} ({share})"


def explain(
    dataset: Dataset,
    as_json: AsJson = False,
) -> None:
    """Say why a dataset is or is not flushing.

    Names the limit that binds, when it will flush, and what is in the way.

    \b
    Example:
      timestore explain weather
    """
    with open_store() as store:
        explanation = explain_dataset(store, dataset, clock.now())
    if as_json:
        print_json(explanation.to_dict())
        return
    print_line(_verdict(explanation), "bold")
    print_fields(explanation.fields())


def _verdict(explanation: Explanation) -> str:
    decision = explanation.status.decision
    return f"{decision.dataset}: {'due' if decision.due else 'not due'}: {decision.reason}"
