"""One alerting rule: its expression, severity, texts, and section of the runbook.

The backlog levels of datasets, in the form that the rules need.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from timestore_pipeline.model.dataset import BACKLOG_PAGE, BACKLOG_WARN, AlertOverrides


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
    hold: float = 0.0  # seconds the expression must stay true; `Durations` shortens them
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
