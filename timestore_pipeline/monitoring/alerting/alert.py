"""What one alerting rule is: when it fires, how bad that is, what it says, and where the runbook speaks of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """`page` wakes somebody, `warning` waits for the morning."""

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
        """Where the runbook speaks of it: `timestore-flush-failing`."""
        return anchor_of(self.name)


def anchor_of(alert: str) -> str:
    """The heading of the runbook that speaks of the alert of this name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", alert).lower()
