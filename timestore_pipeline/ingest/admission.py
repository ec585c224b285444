"""Guardrails on admission: how many bytes staged data may take on disk, per dataset and in all.

In soft mode a batch that comes when the limit is reached is accepted, warned about and counted, and the sensor
flushes; in hard mode it is rejected with the limit and a retry hint. What counts is what is there already, the same
measure that makes the sensor flush: were a batch refused because it would pass the limit, a dataset just below it
would be refused for ever and flushed never. So the producers of one process pass the limit by one batch at most.

Disk use is measured at most every quarter of a second, for at most a twentieth of the time, and carried forward by
what was admitted since, so concurrent producers of one process cannot slip past together. What other processes wrote
shows at the next measurement, what waits in their queues once it is written: n processes together stage n times the
limit and one batch at most, however fast.

Whatever the mode, the last of the disk is not for batches: a flush needs some room for its books, and only a flush
makes room. On a disk that is full to the last byte everything would stand still.

An overloaded producer is refused thousands of times a second; one ledger transaction for each would take the lock from
the writers that it waits for. So counts of drops and guardrail hits gather in a `Tally` and are written to the ledger a
few times a second; `kill -9` loses at most that moment's.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from timestore_pipeline.errors import DiskFull, GuardrailExceeded, TimestoreError
from timestore_pipeline.model.thresholds import GuardrailMode, Guardrails
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.counters import Counters
from timestore_pipeline.system import clock

_log = logging.getLogger(__name__)

_MEASURE_EVERY = 0.25  # seconds
_PAUSE_FACTOR = 20  # of a measurement's length; looking at a thousand datasets takes 30 ms, while producers wait
_WARN_EVERY = 10.0  # seconds, per dataset and guardrail
_RETRY_AFTER = timedelta(seconds=5)  # one sensor interval: that is when the forced flush starts

Key = tuple[str, str, str, str]  # dataset, series, label name, label value


class Tally:
    """Thread-safe; `write` is called by one thread."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._lock = threading.Lock()
        self._waiting: Counter[Key] = Counter()

    def dropped(self, dataset: str, reason: str) -> None:
        self._add((dataset, "dropped_batches_total", "reason", reason))

    def guardrail_exceeded(self, dataset: str, guardrail: str) -> None:
        self._add((dataset, "guardrail_exceeded_total", "guardrail", guardrail))

    def write(self) -> None:
        """Add the counts to the ledger; those that cannot be written now stay for the next call."""
        with self._lock:
            waiting, self._waiting = self._waiting, Counter()
        for key, amount in waiting.items():
            dataset, series, label, value = key
            try:
                self._counters.add(dataset, series, {label: value}, amount)
            except TimestoreError as error:
                _log.warning("counter %s of %s waits: %s", series, dataset, error)
                with self._lock:
                    self._waiting[key] += amount

    def _add(self, key: Key) -> None:
        with self._lock:
            self._waiting[key] += 1


class DiskMeter:
    """Bytes in use: measured now and then, plus what was written since, plus what is admitted and not written yet.

    Not thread-safe: `Admission` has one lock for all of them.
    """

    def __init__(self, measure: Callable[[], int]) -> None:
        self._measure = measure
        self._written = 0
        self._admitted = 0
        self._measure_at = float("-inf")

    def used(self) -> int:
        began = clock.monotonic()
        if began >= self._measure_at:
            self._written = self._measure()
            ended = clock.monotonic()
            self._measure_at = ended + max(_MEASURE_EVERY, (ended - began) * _PAUSE_FACTOR)
        return self._written + self._admitted

    def admit(self, size: int) -> None:
        self._admitted += size

    def settle(self, size: int, *, written: bool) -> None:
        """Record how an admitted batch ended; a refused one gives its bytes back."""
        self._admitted -= size
        if written:
            self._written += size


@dataclass(frozen=True, slots=True)
class _Check:
    guardrail: str  # as in the metrics' labels
    variable: str
    limit: int
    meter: DiskMeter


class Admission:
    """Lets a batch in, warns, or raises `GuardrailExceeded` or `DiskFull`."""

    def __init__(self, area: StagingArea, guardrails: Guardrails, tally: Tally) -> None:
        self._area = area
        self._guardrails = guardrails
        self._tally = tally
        self._lock = threading.Lock()
        self._total = DiskMeter(area.total_bytes)
        self._lacking = DiskMeter(lambda: area.directory.volume().lacks(guardrails.free_bytes))
        self._checks: dict[str, Sequence[_Check]] = {}  # by dataset
        self._warned_at: dict[tuple[str, str], float] = {}

    def admit(self, dataset: str, size: int) -> None:
        """Admit `size` Arrow bytes; `settle` has to follow.

        Raises `DiskFull`, and `GuardrailExceeded` in hard mode.
        """
        with self._lock:
            self._leave_room(dataset)
            checks = self._checks_of(dataset)
            for check in checks:
                used = check.meter.used()
                if used >= check.limit or size > check.limit:
                    self._exceeded(dataset, check, used, size)
            for check in checks:
                check.meter.admit(size)
            self._lacking.admit(size)

    def settle(self, dataset: str, size: int, *, written: bool) -> None:
        """Record that an admitted batch was staged, or was refused later."""
        with self._lock:
            for check in self._checks_of(dataset):
                check.meter.settle(size, written=written)
            self._lacking.settle(size, written=written)

    def _checks_of(self, dataset: str) -> Sequence[_Check]:
        checks = self._checks.get(dataset)
        if checks is None:
            meter = DiskMeter(lambda: self._area.dataset_usage(dataset).total)
            limits = self._guardrails
            possible = (
                _Check("dataset_bytes", "TIMESTORE_STAGING_MAX_DATASET_BYTES", limits.dataset_bytes, meter),
                _Check("total_bytes", "TIMESTORE_STAGING_MAX_TOTAL_BYTES", limits.total_bytes, self._total),
            )
            checks = self._checks[dataset] = [check for check in possible if check.limit]
        return checks

    def _leave_room(self, dataset: str) -> None:
        """Whether the batch itself would fit is not asked, for the same reason."""
        least = self._guardrails.free_bytes
        if least and self._lacking.used() > 0:
            self._tally.dropped(dataset, "disk_full")
            raise DiskFull(
                f"dataset {dataset!r}: the space left on the disk of {self._area.directory.root} is kept for flushes",
                dataset=dataset,
                hint=f"free space, wait for a flush, or lower TIMESTORE_STAGING_MIN_FREE_BYTES={least}",
                retry_after=_RETRY_AFTER,
            )

    def _exceeded(self, dataset: str, check: _Check, used: int, size: int) -> None:
        self._tally.guardrail_exceeded(dataset, check.guardrail)
        message = f"dataset {dataset!r}: {used} bytes staged and {size} more reach {check.variable}={check.limit}"
        if self._guardrails.mode is GuardrailMode.HARD:
            self._tally.dropped(dataset, check.guardrail)
            remedy = "send smaller batches" if size > check.limit else "retry after the forced flush"
            raise GuardrailExceeded(
                message,
                guardrail=check.guardrail,
                dataset=dataset,
                hint=f"{remedy}, or raise {check.variable}",
                retry_after=_RETRY_AFTER,
            )
        last = self._warned_at.get((dataset, check.guardrail), float("-inf"))
        if clock.monotonic() - last >= _WARN_EVERY:
            self._warned_at[(dataset, check.guardrail)] = clock.monotonic()
            _log.warning("%s; accepted (soft mode), a flush is forced", message)
