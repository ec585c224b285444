"""Panels, independent of the tool that draws them. Queries hold placeholders in Grafana's notation (`$dataset`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from timestore_pipeline.monitoring.alerting.alert import Severity

LINE = "{{dataset}} ({{shard}})"


class PanelKind(StrEnum):
    """The form of a panel."""

    NUMBER = "number"  # the current value
    LINES = "lines"
    TABLE = "table"  # a row per dataset, a column per query


class Unit(StrEnum):
    """Grafana's unit names."""

    COUNT = "short"
    SECONDS = "s"
    BYTES = "bytes"
    SHARE = "percentunit"  # 0 to 1
    PER_SECOND = "cps"


@dataclass(frozen=True, slots=True)
class Query:
    expression: str
    legend: str = LINE
    limit: bool = False  # drawn as a limit of the other lines


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    kind: PanelKind = PanelKind.LINES
    levels: tuple[tuple[Severity, float], ...] = ()  # where alerts of that severity begin


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


def filled(expression: str, placeholders: Mapping[str, str]) -> str:
    """The expression with `$name` replaced; longer names first, so that `$top` does not match inside `$topmost`."""
    for name in sorted(placeholders, key=len, reverse=True):
        expression = expression.replace(f"${name}", placeholders[name])
    return expression
