"""Every alert: its expression, its severity and its text for the person on call.

Levels come from series where there is one (flush thresholds, guardrails, sizes), so that a rule loaded last month uses
today's limits. The others are the constants and the backlog levels in `alert.py`. Alerts about tables and HTTP servers
are in `published_tables.py` and `http_servers.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from timestore_pipeline.model.thresholds import LATE_FLOOR, LATE_RULE
from timestore_pipeline.monitoring.alerting import promql
from timestore_pipeline.monitoring.alerting.alert import (
    DAY,
    DISK_PAGE,
    DISK_WARN,
    FAILING,
    HOUR,
    MINUTE,
    RECENTLY,
    RECORDED_EVERY,
    SLOW_ENOUGH,
    SLOWER,
    Alert,
    Severity,
    Watch,
    backlog_limits,
)
from timestore_pipeline.monitoring.alerting.http_servers import api_alerts
from timestore_pipeline.monitoring.alerting.published_tables import table_alerts
from timestore_pipeline.monitoring.telemetry import series

DURATION_P95 = "timestore_staging:flush_duration_seconds:p95"  # recorded, so that a day of it is cheap to average


def alerts(watch: Watch) -> list[Alert]:
    """All of them, in the order of the runbook."""
    return [alert for group in _GROUPS for alert in group(watch)]


def recorded(watch: Watch) -> dict[str, str]:
    """Recording rules: name -> expression."""
    return {DURATION_P95: promql.duration_p95(watch.scope, watch.durations.span(HOUR))}


def _backlog(watch: Watch) -> Iterator[Alert]:
    for severity in Severity:
        for limit in backlog_limits(watch.overrides, page=severity is Severity.PAGE):
            depth = replace(watch.scope, dataset=limit.matcher).level(series.QUEUE_DEPTH, metric="batches")
            yield Alert(
                "TimestoreBacklog",
                severity,
                f"{depth} > {limit.batches}",
                "{{ $labels.dataset }}: {{ $value }} batches are not published yet",
                f"More than {limit.batches} batches of dataset {{{{ $labels.dataset }}}} are staged on shard"
                " {{ $labels.shard }} and not published. If that is normal for it, set a level for this dataset"
                " (staging.alerts in its metadata).",
                hold=5 * MINUTE,
                labels={"dataset": limit.dataset} if limit.dataset else {},
            )


def _oldest(watch: Watch) -> Iterator[Alert]:
    yield Alert(
        "TimestoreOldestBatch",
        Severity.PAGE,
        f"{promql.age(watch.scope)}\n> {promql.age_limit(watch.scope, watch.durations)}",
        "{{ $labels.dataset }}: the oldest batch has waited {{ $value | humanizeDuration }}",
        "Dataset {{ $labels.dataset }} on shard {{ $labels.shard }} is not being flushed. The limit is"
        f" {LATE_RULE}.",
    )
    waiting = LATE_FLOOR.total_seconds()
    yield Alert(
        "TimestoreOldestBatch",
        Severity.WARNING,
        f"{promql.age(watch.scope)}\n> {watch.durations.seconds(waiting)} and {promql.ageless(watch.scope)}",
        "{{ $labels.dataset }}: a batch has waited {{ $value | humanizeDuration }}, and age is off",
        "Dataset {{ $labels.dataset }} on shard {{ $labels.shard }} is flushed by rows or bytes only: while few rows"
        f" arrive, none is published. The oldest batch waits for more than {waiting:g} s.",
    )


def _disk(watch: Watch) -> Iterator[Alert]:
    scope = watch.scope
    used = scope.level(series.DISK_USAGE, component="total")
    yield from _filling(
        "TimestoreDatasetDisk",
        promql.share(used, scope.level(series.DISK_LIMIT)),
        "{{ $labels.dataset }}: staged files take {{ $value | humanizePercentage }} of the guardrail",
        "Dataset {{ $labels.dataset }} on shard {{ $labels.shard }} is near TIMESTORE_STAGING_MAX_DATASET_BYTES; at"
        " 100 % a flush is forced, and in hard mode batches are rejected.",
    )
    yield from _filling(
        "TimestoreTotalDisk",
        promql.share(scope.level(series.TOTAL_DISK_USAGE), scope.level(series.TOTAL_DISK_LIMIT)),
        "{{ $labels.shard }}: all staged files take {{ $value | humanizePercentage }} of the total guardrail",
        "Shard {{ $labels.shard }} is near TIMESTORE_STAGING_MAX_TOTAL_BYTES; at 100 % every dataset is flushed, and in"
        " hard mode every batch is rejected.",
    )
    size, left = scope.level(series.VOLUME_SIZE), scope.level(series.VOLUME_AVAILABLE)
    yield from _filling(
        "TimestoreVolume",
        f"1 - {left}\n/ {size}",
        "{{ $labels.shard }}: the volume of the staging directory is {{ $value | humanizePercentage }} full",
        "The disk of shard {{ $labels.shard }} is running out of space, whether or not staged files are the cause. Once"
        " it is full, neither staging nor flushing is possible.",
    )


def _filling(name: str, ratio: str, summary: str, description: str) -> Iterator[Alert]:
    for severity, level in ((Severity.WARNING, DISK_WARN), (Severity.PAGE, DISK_PAGE)):
        yield Alert(name, severity, f"{ratio}\n> {level:g}", summary, description, hold=MINUTE)


def _backpressure(watch: Watch) -> Iterator[Alert]:
    window = watch.durations.span(RECENTLY)
    dropped, retried = series.counter("dropped_batches_total"), series.counter("retried_batches_total")
    recently = f"in the last {window}"
    yield Alert(
        "TimestoreBatchesDropped",
        Severity.WARNING,
        f"{promql.increase(watch.scope, dropped, window, by='reason')} > 0",
        "{{ $labels.dataset }}: {{ $value }} batches refused (reason: {{ $labels.reason }})",
        "Producers of dataset {{ $labels.dataset }} on shard {{ $labels.shard }} were asked to retry later,"
        f" {recently}. No acknowledged batch is lost; refused batches are lost unless the producers send them again.",
    )
    yield Alert(
        "TimestoreBackpressure",
        Severity.WARNING,
        f"{promql.increase(watch.scope, retried, window, by='reason')} > 0",
        "{{ $labels.dataset }}: {{ $value }} batches returned by failed flushes (reason: {{ $labels.reason }})",
        "Flushes of dataset {{ $labels.dataset }} on shard {{ $labels.shard }} failed, and their batches are staged"
        f" again, {recently}. No batch is lost; the next flush takes them.",
    )
    yield Alert(
        "TimestoreBackpressure",
        Severity.PAGE,
        f"{promql.increase(watch.scope, dropped, window)} > 0\nand {promql.increase(watch.scope, retried, window)} > 0",
        "{{ $labels.dataset }}: {{ $value }} batches refused while flushes fail",
        "Dataset {{ $labels.dataset }} on shard {{ $labels.shard }} is filling up because staged batches cannot be"
        f" published: both refused batches and batches released by failed flushes grew {recently}.",
    )
    yield Alert(
        "TimestoreGuardrail",
        Severity.WARNING,
        f"{promql.increase(watch.scope, series.counter('guardrail_exceeded_total'), window, by='guardrail')} > 0",
        "{{ $labels.dataset }}: {{ $value }} batches arrived above the guardrail {{ $labels.guardrail }}",
        "Dataset {{ $labels.dataset }} on shard {{ $labels.shard }} takes more disk than configured. In soft mode the"
        " batches were accepted, in hard mode they were refused.",
    )


def _flushes(watch: Watch) -> Iterator[Alert]:
    window, ended = watch.durations.span(30 * MINUTE), series.counter("flushes_total")
    failed = promql.increase(watch.scope, ended, window, result="failure")
    yield Alert(
        "TimestoreFlushFailing",
        Severity.WARNING,
        f"{failed}\n/ {promql.increase(watch.scope, ended, window)} > {FAILING:g}\nand {failed} >= 3",
        "{{ $labels.dataset }}: {{ $value | humanizePercentage }} of the flushes fail",
        "Flushes of dataset {{ $labels.dataset }} on shard {{ $labels.shard }} abort more often than they publish. The"
        " batches stay staged, and the flush is retried at growing intervals.",
    )
    yield Alert(
        "TimestoreFlushBlocked",
        Severity.WARNING,
        f"{promql.blocked(watch.scope)} > 0",
        "{{ $labels.dataset }}: flushes wait for a person (error: {{ $labels.code }})",
        "The last flush of dataset {{ $labels.dataset }} on shard {{ $labels.shard }} failed with an error that a retry"
        " does not resolve. Staged rows stay staged; timestore explain shows the remedy.",
    )


def _pace(watch: Watch) -> Iterator[Alert]:
    """Needs an hour of history and five recent flushes: a first flush or a single slow one is not a regression."""
    recorded = f"{DURATION_P95}{{{watch.scope.shard}}}"
    past = f"{recorded}[{watch.durations.span(DAY)}] offset {watch.durations.span(HOUR)}"
    finished = watch.scope.select(series.FLUSH_DURATION, part="_count", result="success")
    count = f"sum by ({promql.DATASET}) ({finished} - min_over_time({finished}[{watch.durations.span(HOUR)}]))"
    yield Alert(
        "TimestoreFlushSlower",
        Severity.WARNING,
        f"{recorded} > {SLOWER:g} * avg_over_time({past})\n"
        f"and {recorded} > {SLOW_ENOUGH:g}\n"
        f"and count_over_time({past}) >= {HOUR / RECORDED_EVERY:.0f}\n"
        f"and {count} >= 5",
        "{{ $labels.dataset }}: flushes take {{ $value | humanizeDuration }} (p95)",
        f"That is more than {SLOWER:g} times the duration of the day before, for dataset"
        " {{ $labels.dataset }} on shard {{ $labels.shard }}.",
        hold=15 * MINUTE,
    )


def _silence(watch: Watch) -> Iterator[Alert]:
    limit, tick = watch.durations.seconds(watch.silence), watch.scope.select(series.SENSOR_LAST_TICK)
    yield Alert(
        "TimestoreSensorStale",
        Severity.PAGE,
        f"{promql.silence(tick)} > {limit}",
        "{{ $labels.shard }}: the flush sensor has been silent for {{ $value | humanizeDuration }}",
        "No sensor starts flushes on shard {{ $labels.shard }}; staged rows stay staged. Either the Dagster daemon is"
        " down, or its pushes do not arrive: then TimestorePushStale fires as well.",
    )
    yield Alert(
        "TimestorePushStale",
        Severity.WARNING,
        f"{promql.silence(promql.pushed_at(watch.scope))} > {limit}",
        "{{ $labels.shard }}: no metrics were pushed for {{ $value | humanizeDuration }}",
        "Every gauge of shard {{ $labels.shard }} is outdated. Ages still grow, because they are computed from"
        " instants.",
    )
    yield Alert(
        "TimestoreAbsent",
        Severity.PAGE,
        f"absent({tick})",
        f"{watch.shard}: no series at all",
        f"Shard {watch.shard} is not scraped, or its flush sensor has never run: no other alert of it can fire.",
        hold=5 * MINUTE,
    )
    yield Alert(
        "TimestoreSeenTwice",
        Severity.WARNING,
        f"count by (shard) ({tick}) > 1",
        "{{ $labels.shard }}: its series arrive from {{ $value }} sources",
        "Shard {{ $labels.shard }} is both pushed and scraped, or two hosts have its name. The other alerts use the"
        " worse of the two: a frozen push may keep them firing, and counts may be doubled.",
        hold=5 * MINUTE,
    )


def _quarantine(watch: Watch) -> Iterator[Alert]:
    yield Alert(
        "TimestoreQuarantine",
        Severity.WARNING,
        f"{watch.scope.level(series.QUARANTINED, metric='batches')} > 0",
        "{{ $labels.dataset }}: {{ $value }} batches are in quarantine",
        "Dataset {{ $labels.dataset }} on shard {{ $labels.shard }} is published without them. A person has to requeue"
        " or discard them.",
    )


_GROUPS: tuple[Callable[[Watch], Iterator[Alert]], ...] = (
    _backlog, _oldest, _disk, _backpressure, _flushes, _pace, _silence, _quarantine, table_alerts, api_alerts,
)  # fmt: skip
