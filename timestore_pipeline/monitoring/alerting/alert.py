"""One alerting rule: its expression, severity, texts, and section of the runbook."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


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
