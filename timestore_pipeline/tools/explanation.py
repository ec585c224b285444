"""Why a dataset is or is not flushing: its status, the use of its limits, and what is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from timestore_pipeline.flush.dataset_status import DatasetStatus
from timestore_pipeline.model.batch import Incident
from timestore_pipeline.model.flush import Flush
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


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
    sensor_ticked_at: datetime | None  # None = no sensor has run on this staging directory
    now: datetime

    @property
    def binding(self) -> LimitUse | None:
        """The nearest limit; None = nothing is pending, or all limits are off."""
        return self.limits[0] if self.limits and self.status.backlog.pending.batches else None


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
        sensor_ticked_at(store),
        now,
    )


def sensor_ticked_at(store: Timestore) -> datetime | None:
    """The flush sensor's last tick; None = it never ticked."""
    ticked = store.area.ledger.get_meta(SENSOR_LAST_TICK)
    return None if ticked is None else clock.from_micros(int(ticked))


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
