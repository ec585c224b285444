"""One alerting rule, the levels that no series carries, and the subject of the rules.

A rule has an expression, a severity, texts and a section of the runbook.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from timestore_pipeline.model.dataset import BACKLOG_PAGE, BACKLOG_WARN, AlertOverrides
from timestore_pipeline.monitoring.alerting.promql import RuleDurations, Scope

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


class Severity(StrEnum):
    """`page` wakes the person on call, `warning` can wait until the morning."""

    WARNING = "warning"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule. Texts are Prometheus templates."""

    name: str
    severity: Severity
    expression: str
    summary: str
    description: str
    hold: float = 0.0  # seconds the expression must stay true; `RuleDurations` shortens them
    labels: Mapping[str, str] = field(default_factory=dict)  # beside those of the expression

    @property
    def anchor(self) -> str:
        """Anchor of its section in the runbook: `timestore-flush-failing`."""
        return anchor_of(self.name)


def anchor_of(alert: str) -> str:
    """Anchor of the runbook's section about the alert of this name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", alert).lower()


@dataclass(frozen=True, slots=True)
class BacklogLimit:
    """Datasets that share a level. `matcher`: for PromQL; `batches`: 0 = no alert."""

    matcher: str
    batches: int
    dataset: str = ""  # set if the level belongs to one dataset


def backlog_limits(overrides: Mapping[str, AlertOverrides], *, page: bool) -> list[BacklogLimit]:
    """The default for every dataset without its own level, then the others; levels that are off are omitted.

    The default excludes names instead of listing them, so it covers datasets that appear after rendering.
    """
    chosen = {name: own.backlog_page if page else own.backlog_warn for name, own in sorted(overrides.items())}
    own = {name: batches for name, batches in chosen.items() if batches is not None}
    default = BacklogLimit(f'dataset!~"{any_of(own)}"' if own else "", BACKLOG_PAGE if page else BACKLOG_WARN)
    limits = [default, *(BacklogLimit(f'dataset="{name}"', batches, name) for name, batches in own.items())]
    return [limit for limit in limits if limit.batches]


def any_of(names: Iterable[str]) -> str:
    """A pattern for a quoted PromQL string; the dot is the only character of names with a meaning in patterns."""
    return "|".join(re.sub(r"\.", r"\\\\.", name) for name in names)


@dataclass(frozen=True, slots=True)
class Watch:
    """The subject of the rules: one shard, the levels of its datasets, and the durations."""

    shard: str
    overrides: Mapping[str, AlertOverrides] = field(default_factory=dict)
    durations: RuleDurations = field(default_factory=RuleDurations)
    push_interval: float = 0.0  # seconds, TIMESTORE_METRICS_PUSH_INTERVAL_MS; no series carries it

    @property
    def silence(self) -> float:
        """Seconds without a tick or push after which an alert fires."""
        return max(SILENCE, PUSHES_MISSED * self.push_interval)

    @property
    def scope(self) -> Scope:
        return Scope.of_shard(self.shard)
