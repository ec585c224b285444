"""Panels, independent of the tool that draws them, and the queries that they share.

Queries hold placeholders in Grafana's notation (`$dataset`). With a thousand datasets a panel draws `$top` lines,
ranked once over the whole time range: with a rank per step lines would come and go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from timestore_pipeline.monitoring.alerting.alert import Severity
from timestore_pipeline.monitoring.alerting.promql import DATASET, Scope
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.monitoring.telemetry.series import CounterSeries, GaugeSeries

LINE = "{{dataset}} ({{shard}})"
SCOPE = Scope('shard=~"$shard"', 'dataset=~"$dataset"')


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


def rate(name: str, by: str) -> Query:
    return Query(f"sum by ({by}) ({per_second(series.counter(name))})", f"{{{{{by}}}}}")


def per_second(counter: CounterSeries) -> str:
    return f"rate({SCOPE.select(counter)}[$__rate_interval])"


def top_gauge(expression: str, ranked: GaugeSeries, **labels: str) -> str:
    return top(expression, f"max by ({DATASET}) (max_over_time({SCOPE.select(ranked, **labels)}[$__range] @ end()))")


def top_counter(expression: str, ranked: CounterSeries) -> str:
    return top(expression, f"sum by ({DATASET}) (increase({SCOPE.select(ranked)}[$__range] @ end()))")


def top(expression: str, rank: str) -> str:
    return f"{expression}\nand on ({DATASET}) topk($top, {rank})"
