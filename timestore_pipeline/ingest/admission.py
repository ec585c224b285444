"""Guardrails at the door: how many bytes staged data may take on disk, per dataset and in all.

In soft mode a batch beyond the limit is accepted, warned about and counted, and the sensor flushes; in hard mode it
is rejected with the limit and a retry hint. Disk use is measured at most every quarter of a second and carried
forward by what was admitted since, so concurrent producers of one process cannot slip past together.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from timestore_pipeline import clock
from timestore_pipeline.errors import GuardrailExceeded
from timestore_pipeline.ingest.tally import Tally
from timestore_pipeline.model.limits import GuardrailMode, Guardrails
from timestore_pipeline.staging.area import StagingArea

_log = logging.getLogger(__name__)

_MEASURE_EVERY = 0.25  # seconds
_WARN_EVERY = 10.0  # seconds, per dataset and guardrail
_RETRY_AFTER = timedelta(seconds=5)  # one sensor interval: that is when the forced flush starts


class DiskMeter:
    """Bytes in use, measured now and then, plus what was added since."""

    def __init__(self, measure: Callable[[], int]) -> None:
        self._measure = measure
        self._lock = threading.Lock()
        self._bytes = 0
        self._measured_at = float("-inf")

    def with_added(self, size: int) -> int:
        """The use if `size` more bytes were written; remembers nothing."""
        with self._lock:
            if clock.monotonic() - self._measured_at >= _MEASURE_EVERY:
                self._bytes, self._measured_at = self._measure(), clock.monotonic()
            return self._bytes + size

    def add(self, size: int) -> None:
        with self._lock:
            self._bytes += size


@dataclass(frozen=True, slots=True)
class _Check:
    guardrail: str  # as in the metrics' labels
    variable: str
    limit: int
    meter: DiskMeter


class Admission:
    """Lets a batch in, warns, or raises `GuardrailExceeded`."""

    def __init__(self, area: StagingArea, guardrails: Guardrails, tally: Tally) -> None:
        self._area = area
        self._guardrails = guardrails
        self._tally = tally
        self._total = DiskMeter(area.total_bytes)
        self._datasets: dict[str, DiskMeter] = {}
        self._warned_at: dict[tuple[str, str], float] = {}

    def admit(self, dataset: str, size: int) -> None:
        """size: Arrow bytes of the batch. Raises `GuardrailExceeded` in hard mode."""
        checks = list(self._checks(dataset))
        for check in checks:
            used = check.meter.with_added(size)
            if used > check.limit:
                self._exceeded(dataset, check, used)
        for check in checks:
            check.meter.add(size)

    def _checks(self, dataset: str) -> Iterator[_Check]:
        limits = self._guardrails
        if limits.dataset_bytes:
            meter = self._datasets.setdefault(dataset, DiskMeter(lambda: self._area.dataset_usage(dataset).total))
            yield _Check("dataset_bytes", "TIMESTORE_STAGING_MAX_DATASET_BYTES", limits.dataset_bytes, meter)
        if limits.total_bytes:
            yield _Check("total_bytes", "TIMESTORE_STAGING_MAX_TOTAL_BYTES", limits.total_bytes, self._total)

    def _exceeded(self, dataset: str, check: _Check, used: int) -> None:
        self._tally.guardrail_exceeded(dataset, check.guardrail)
        message = f"dataset {dataset!r}: {used} bytes staged exceed {check.variable}={check.limit}"
        if self._guardrails.mode is GuardrailMode.HARD:
            self._tally.dropped(dataset, check.guardrail)
            hint = f"retry after the forced flush, or raise {check.variable}"
            raise GuardrailExceeded(
                message, guardrail=check.guardrail, dataset=dataset, hint=hint, retry_after=_RETRY_AFTER
            )
        self._warn(dataset, check.guardrail, message)

    def _warn(self, dataset: str, guardrail: str, message: str) -> None:
        last = self._warned_at.get((dataset, guardrail), float("-inf"))
        if clock.monotonic() - last >= _WARN_EVERY:
            self._warned_at[(dataset, guardrail)] = clock.monotonic()
            _log.warning("%s; accepted (soft mode), a flush is forced", message)
