"""What the rules watch, and the levels that no series carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from timestore_pipeline.model.dataset import AlertOverrides
from timestore_pipeline.monitoring.alerting.promql import Durations, Scope

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0

DISK_WARN, DISK_PAGE = 0.75, 0.90  # of a guardrail, or of the volume
SILENCE = 120.0  # seconds without a sensor tick or a push
PUSHES_MISSED = 3  # where pushes are rarer than that
RECENTLY = 10 * MINUTE  # time for which one drop keeps an alert firing
SLOWER = 2.0  # times the dataset's own past
SLOW_ENOUGH = 1.0  # seconds; for faster flushes, twice as slow is noise
FAILING = 0.5  # of the flushes that ended
REFUSED_OFTEN = 10  # requests, recently: one wrong call of a person is no alert
REQUESTS_SLOW = 2.5  # seconds; ten rows take 9 ms
VERIFY_LATE = 2 * DAY  # twice the time in which each dataset has its turn
RECORDED_EVERY = MINUTE


@dataclass(frozen=True, slots=True)
class Watch:
    """The subject of the rules: one shard, the levels of its datasets, and the durations."""

    shard: str
    overrides: Mapping[str, AlertOverrides] = field(default_factory=dict)
    durations: Durations = field(default_factory=Durations)
    push_interval: float = 0.0  # seconds, TIMESTORE_METRICS_PUSH_INTERVAL_MS; no series carries it

    @property
    def silence(self) -> float:
        """Seconds without a tick or push after which an alert fires."""
        return max(SILENCE, PUSHES_MISSED * self.push_interval)

    @property
    def scope(self) -> Scope:
        return Scope.of_shard(self.shard)
