"""Queries that panels share: what the dashboard's variables select, and the `$top` lines of it.

With a thousand datasets a panel draws `$top` lines, ranked once over the whole time range: with a rank per step lines
would come and go.
"""

from __future__ import annotations

from timestore_pipeline.monitoring.alerting.panel import Query
from timestore_pipeline.monitoring.alerting.promql import DATASET, Scope
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.monitoring.telemetry.series import CounterSeries, GaugeSeries

SCOPE = Scope('shard=~"$shard"', 'dataset=~"$dataset"')


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
