"""Panels about published tables: the cost of compactions beside flushed rows, and what verifications found."""

from __future__ import annotations

from timestore_pipeline.monitoring.alerting import promql
from timestore_pipeline.monitoring.alerting.alert import Severity
from timestore_pipeline.monitoring.alerting.alert_levels import HOUR, VERIFY_LATE
from timestore_pipeline.monitoring.alerting.panel import Panel, Query, Unit
from timestore_pipeline.monitoring.alerting.panel_queries import SCOPE, top, top_counter, top_gauge
from timestore_pipeline.monitoring.alerting.promql import Durations
from timestore_pipeline.monitoring.telemetry import series


def table_panels(durations: Durations) -> tuple[Panel, ...]:
    """Maintenance runs once a night: its counters are shown by the hour."""
    window = durations.span(HOUR)
    problems = SCOPE.level(series.VERIFY_PROBLEMS)
    unverified = top(f"(time() - {promql.verified(SCOPE)})", f"-{promql.verified(SCOPE, '@ end()')}")
    seconds = series.counter("compaction_seconds_total")
    cost = top_counter(f"({promql.increase(SCOPE, seconds, window)})", seconds)
    flushed = promql.increase(SCOPE, series.counter("flush_rows_total"), window, result="success")
    return (
        Panel("Seconds of compaction, by dataset", "In an hour.", Unit.SECONDS, (Query(cost),)),
        Panel("Rows compacted and flushed", "In an hour, of all datasets. Each compacted row is written once more.",
              Unit.COUNT, (_grown_by("compacted_rows_total", "compacted", window),
                           Query(f"sum({flushed})", "flushed"))),
        Panel("Files compacted", "In an hour, of all datasets: small files, and those in their place.", Unit.COUNT,
              (_grown_by("compacted_files_total", "replaced", window),
               _grown_by("compactions_total", "written", window))),
        Panel("Bytes compacted", "In an hour, of all datasets.", Unit.BYTES,
              (_grown_by("compacted_bytes_total", "replaced", window),
               _grown_by("compaction_written_bytes_total", "written", window))),
        Panel("Problems of the last verification", "More than 0: the books of the dataset do not add up.", Unit.COUNT,
              (Query(top_gauge(problems, series.VERIFY_PROBLEMS)),), levels=((Severity.PAGE, 1),)),
        Panel("Since the last verification", "That could read everything, or since the dataset was created.",
              Unit.SECONDS, (Query(unverified),),
              levels=((Severity.WARNING, VERIFY_LATE),)),
    )  # fmt: skip


def _grown_by(name: str, legend: str, window: str) -> Query:
    return Query(f"sum({promql.increase(SCOPE, series.counter(name), window)})", legend)
