"""Alerts and panels about published tables.

They show tables that contradict the ledger or that were not verified for long, and the cost of compactions beside
flushed rows.
"""

from __future__ import annotations

from collections.abc import Iterator

from timestore_pipeline.monitoring.alerting import promql
from timestore_pipeline.monitoring.alerting.alert import HOUR, VERIFY_LATE, Alert, Severity, Watch
from timestore_pipeline.monitoring.alerting.panel import SCOPE, Panel, Query, Unit, top, top_counter, top_gauge
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.monitoring.telemetry import series


def table_alerts(watch: Watch) -> Iterator[Alert]:
    yield Alert(
        "TimestoreBooksDiffer",
        Severity.PAGE,
        f"{watch.scope.level(series.VERIFY_PROBLEMS)} > 0",
        "{{ $labels.dataset }}: the books do not add up, {{ $value }} problems",
        "The last verification of dataset {{ $labels.dataset }} on shard {{ $labels.shard }} found rows or files that"
        " ledger, staged files and table do not agree about. timestore verify lists each with its remedy.",
    )
    yield Alert(
        "TimestoreVerifyStale",
        Severity.WARNING,
        f"time() - {promql.verified(watch.scope)} > {watch.durations.seconds(VERIFY_LATE)}",
        "{{ $labels.dataset }}: not verified for {{ $value | humanizeDuration }}",
        "No verification of dataset {{ $labels.dataset }} on shard {{ $labels.shard }} could read everything in this"
        " time, so that rows could be missing without an alert. The schedule verify_round verifies each dataset once a"
        " day.",
    )


def table_panels(durations: RuleDurations) -> tuple[Panel, ...]:
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
