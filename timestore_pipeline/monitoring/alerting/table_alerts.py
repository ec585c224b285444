"""Alerts about published tables: books that do not add up, and books that no verification has read for long."""

from __future__ import annotations

from collections.abc import Iterator

from timestore_pipeline.monitoring.alerting import promql
from timestore_pipeline.monitoring.alerting.alert import Alert, Severity
from timestore_pipeline.monitoring.alerting.alert_levels import VERIFY_LATE, Watch
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
