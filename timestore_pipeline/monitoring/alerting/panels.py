"""The dashboard's panels, independent of Grafana: other tools draw the same panels from the same queries."""

from __future__ import annotations

from timestore_pipeline.model.dataset import BACKLOG_PAGE, BACKLOG_WARN
from timestore_pipeline.monitoring.alerting import promql
from timestore_pipeline.monitoring.alerting.alert import DISK_PAGE, DISK_WARN, RECENTLY, SILENCE, Severity
from timestore_pipeline.monitoring.alerting.http_servers import api_panels
from timestore_pipeline.monitoring.alerting.panel import (
    SCOPE,
    Panel,
    PanelKind,
    Query,
    Row,
    Unit,
    per_second,
    rate,
    top_counter,
    top_gauge,
)
from timestore_pipeline.monitoring.alerting.promql import DATASET, RuleDurations
from timestore_pipeline.monitoring.alerting.published_tables import table_panels
from timestore_pipeline.monitoring.telemetry import series

ALERT_OF = {  # panel -> the alert about its series, with the runbook's section that it links to
    "Since the last sensor tick": "TimestoreSensorStale",
    "Since the last push": "TimestorePushStale",
    "Batches staged": "TimestoreBacklog",
    "Batches in quarantine": "TimestoreQuarantine",
    "Volume in use": "TimestoreVolume",
    "Age of the oldest batch": "TimestoreOldestBatch",
    "Flush duration (p95)": "TimestoreFlushSlower",
    "Failed flushes": "TimestoreFlushFailing",
    "Blocked datasets": "TimestoreFlushBlocked",
    "Dropped batches": "TimestoreBatchesDropped",
    "Retried batches": "TimestoreBackpressure",
    "Guardrail exceeded": "TimestoreGuardrail",
    "Share of the dataset's guardrail": "TimestoreDatasetDisk",
    "Shard: share of the total guardrail, and of the volume": "TimestoreTotalDisk",
    "Batches in quarantine, by dataset": "TimestoreQuarantine",
    "Problems of the last verification": "TimestoreBooksDiffer",
    "Since the last verification": "TimestoreVerifyStale",
    "HTTP: refused requests": "TimestoreApiRefused",
    "HTTP: asked to come back later": "TimestoreApiBusy",
    "HTTP: errors of the server": "TimestoreApiErrors",
    "HTTP: duration of requests (p95)": "TimestoreApiSlow",
    "HTTP: tokens in force, files refused": "TimestoreApiFileRefused",
}


def rows(durations: RuleDurations) -> tuple[Row, ...]:
    """The dashboard from top to bottom; durations: those of the rules, so that panels and alerts agree."""
    return (
        Row("At a glance", _glance()),
        Row("Backlog", _backlog(durations)),
        Row("Flushes", _flushes(durations)),
        Row("Backpressure", _backpressure(durations.span(RECENTLY))),
        Row("Disk", _disk()),
        Row("Claims and quarantine", _trouble()),
        Row("Compaction and books", table_panels(durations)),
        Row("HTTP servers", api_panels(durations)),
        Row("Limits in force", (_limits(),)),
    )


def _glance() -> tuple[Panel, ...]:
    depth = SCOPE.level(series.QUEUE_DEPTH, metric="batches")
    aside = SCOPE.level(series.QUARANTINED, metric="batches")
    firing = f'count(ALERTS{{alertname=~"Timestore.*",alertstate="firing",{SCOPE.shard}}}) or vector(0)'
    tick = promql.silence(SCOPE.select(series.SENSOR_LAST_TICK))
    pushed = f"{promql.pushed_at(SCOPE)} or {SCOPE.select(series.METRICS_PUSHED)}"  # from the gateway or the ledger
    quiet = ((Severity.PAGE, SILENCE),)
    return (
        _number("Alerts firing", firing, Unit.COUNT, "", ((Severity.WARNING, 1),)),
        _number("Since the last sensor tick", tick, Unit.SECONDS, "{{shard}}", quiet),
        _number("Since the last push", promql.silence(pushed), Unit.SECONDS, "{{shard}}", quiet),
        _number("Batches staged", f"sum({depth})", Unit.COUNT, ""),
        _number("Batches in quarantine", f"sum({aside})", Unit.COUNT, "", ((Severity.WARNING, 1),)),
        _number("Volume in use", _volume(), Unit.SHARE, "{{shard}}", _FILLING),
    )


def _backlog(durations: RuleDurations) -> tuple[Panel, ...]:
    usual = ((Severity.WARNING, float(BACKLOG_WARN)), (Severity.PAGE, float(BACKLOG_PAGE)))
    age, limit = promql.age(SCOPE), promql.age_limit(SCOPE, durations)
    ages = (Query(top_gauge(f"({age})", series.OLDEST_AGE)),
            Query(top_gauge(limit, series.OLDEST_AGE), "limit of {{dataset}} ({{shard}})", limit=True))  # fmt: skip
    return (
        _staged("Batches staged", "batches", "In flight included. Levels of single datasets are not drawn.", usual),
        Panel(
            "Age of the oldest batch",
            "Computed from the instant it was staged: still grows when pushes stop.",
            Unit.SECONDS,
            ages,
        ),
        _staged("Rows staged", "rows", "Rows that the next flushes will write."),
        Panel("Batches in flight", "Claimed by a flush that has not ended.", Unit.COUNT, (
            Query(top_gauge(SCOPE.level(series.IN_FLIGHT, metric="batches"), series.IN_FLIGHT, metric="batches")),
        )),
    )  # fmt: skip


def _flushes(durations: RuleDurations) -> tuple[Panel, ...]:
    window = durations.span(RECENTLY)
    ended = series.counter("flushes_total")
    slow = top_counter(f"({promql.duration_p95(SCOPE, window)})", ended)
    failed = promql.increase(SCOPE, ended, window, result="failure")
    rows, batches = (
        f"sum by ({DATASET}) ({per_second(accepted)})" for accepted in (series.ACCEPTED_ROWS, series.ACCEPTED_BATCHES)
    )
    share = f"{failed} / ({promql.increase(SCOPE, ended, window)} > 0)"
    return (
        Panel("Flush duration (p95)", "Of published flushes, claim to end.", Unit.SECONDS, (Query(slow),)),
        Panel("Flushed rows per second", "Published, and released by failed flushes.", Unit.PER_SECOND,
              (rate("flush_rows_total", "result"),)),
        Panel("Flushed batches per second", "Published, and released by failed flushes.", Unit.PER_SECOND,
              (rate("flush_batches_total", "result"),)),
        Panel("Flushes by trigger", "The limit that triggered them, or an operator.", Unit.COUNT,
              (Query(f"sum by (trigger, result) ({promql.increase(SCOPE, ended, window, by='trigger, result')})",
                     "{{trigger}}, {{result}}"),)),
        Panel("Failed flushes", "Of those that ended recently.", Unit.SHARE, (Query(top_counter(share, ended)),)),
        Panel("Accepted rows per second", "Rows acknowledged to producers.", Unit.PER_SECOND,
              (Query(top_counter(rows, series.ACCEPTED_ROWS)),)),
        Panel("Accepted batches per second", "Batches acknowledged to producers.", Unit.PER_SECOND,
              (Query(top_counter(batches, series.ACCEPTED_BATCHES)),)),
    )  # fmt: skip


def _backpressure(window: str) -> tuple[Panel, ...]:
    return (
        _grown("Dropped batches", "dropped_batches_total", "reason", window, "Refused for lack of room, recently."),
        _grown("Retried batches", "retried_batches_total", "reason", window, "Released by failed flushes, recently."),
        _grown("Guardrail exceeded", "guardrail_exceeded_total", "guardrail", window, "Batches above it, recently."),
    )


def _disk() -> tuple[Panel, ...]:
    used = SCOPE.level(series.DISK_USAGE, component="total")
    share = promql.share(used, SCOPE.level(series.DISK_LIMIT))
    total = promql.share(SCOPE.level(series.TOTAL_DISK_USAGE), SCOPE.level(series.TOTAL_DISK_LIMIT))
    in_total = {"component": "total"}
    return (
        Panel("Share of the dataset's guardrail", "At 100 % a flush is forced; in hard mode producers are refused.",
              Unit.SHARE, (Query(top_gauge(share, series.DISK_USAGE, **in_total)),), levels=_FILLING),
        Panel("Shard: share of the total guardrail, and of the volume", "The first only where a total is set.",
              Unit.SHARE, (Query(total, "guardrail ({{shard}})"), Query(_volume(), "volume ({{shard}})")),
              levels=_FILLING),
        Panel("Staged bytes on disk", "Files of the segments, logs included.", Unit.BYTES,
              (Query(top_gauge(used, series.DISK_USAGE, **in_total)),
               Query(top_gauge(f"{SCOPE.level(series.DISK_LIMIT)} > 0", series.DISK_USAGE, **in_total),
                     "limit of {{dataset}} ({{shard}})", limit=True))),
    )  # fmt: skip


def _trouble() -> tuple[Panel, ...]:
    claimed = f"time() - min by ({DATASET}) ({SCOPE.select(series.CLAIMED_AT)})"
    aside = SCOPE.level(series.QUARANTINED, metric="batches")
    failed_pushes = f"max by (shard) ({SCOPE.select(series.METRICS_PUSH_FAILURES)})"
    incidents, files = SCOPE.level(series.OPEN_INCIDENTS), SCOPE.level(series.QUARANTINE_USAGE)
    return (
        Panel("Age of the flush in flight", "Since it took its claim.", Unit.SECONDS,
              (Query(top_gauge(f"({claimed})", series.IN_FLIGHT, metric="batches")),)),
        Panel("Failures in a row", "No line where the last flush succeeded.", Unit.COUNT,
              (Query(top_gauge(SCOPE.level(series.FAILURES_IN_A_ROW), series.FAILURES_IN_A_ROW)),)),
        Panel("Batches in quarantine, by dataset", "A person has to requeue or discard them.", Unit.COUNT,
              (Query(top_gauge(aside, series.QUARANTINED, metric="batches")),)),
        Panel("Quarantined, requeued, discarded", "Batches of all datasets in the time shown.", Unit.COUNT, tuple(
            Query(f"sum(increase({SCOPE.select(series.counter(f'{name}_batches_total'))}[$__range]))", name)
            for name in ("quarantined", "requeued", "discarded")
        )),
        Panel("Shard: claims, incidents, failed pushes", "", Unit.COUNT, (
            Query(SCOPE.level(series.ACTIVE_CLAIMS), "flushes in flight ({{shard}})"),
            Query(incidents, "open incidents ({{shard}})"),
            Query(failed_pushes, "failed pushes ({{shard}})"),
        )),
        Panel("Shard: bytes in quarantine", "", Unit.BYTES, (Query(files, "{{shard}}"),)),
        Panel("Paused datasets", "An operator stopped their automatic flushes.", Unit.COUNT,
              (Query(top_gauge(SCOPE.level(series.PAUSED), series.PAUSED)),)),
        Panel("Blocked datasets", "Their last flush failed with an error that a retry does not resolve.", Unit.COUNT,
              (Query(top_gauge(promql.blocked(SCOPE), series.BLOCKED), "{{dataset}}: {{code}}"),)),
    )  # fmt: skip


def _limits() -> Panel:
    threshold = {
        f"flush at {metric}": SCOPE.level(series.FLUSH_THRESHOLD, metric=metric)
        for metric in ("rows", "bytes", "age_seconds")
    }
    columns = {**threshold, "guardrail bytes": SCOPE.level(series.DISK_LIMIT)}
    return Panel(
        "Flush thresholds and guardrails",
        "Overrides of the metadata included; 0 = off.",
        Unit.COUNT,
        tuple(Query(expression, name) for name, expression in columns.items()),
        PanelKind.TABLE,
    )


_FILLING = ((Severity.WARNING, DISK_WARN), (Severity.PAGE, DISK_PAGE))


def _number(
    title: str, expression: str, unit: Unit, legend: str, levels: tuple[tuple[Severity, float], ...] = ()
) -> Panel:
    return Panel(title, "", unit, (Query(expression, legend),), PanelKind.NUMBER, levels)


def _staged(title: str, metric: str, description: str, levels: tuple[tuple[Severity, float], ...] = ()) -> Panel:
    expression = top_gauge(SCOPE.level(series.QUEUE_DEPTH, metric=metric), series.QUEUE_DEPTH, metric=metric)
    return Panel(title, description, Unit.COUNT, (Query(expression),), levels=levels)


def _grown(title: str, name: str, by: str, window: str, description: str) -> Panel:
    counter = series.counter(name)
    expression = top_counter(promql.increase(SCOPE, counter, window, by=by), counter)
    return Panel(title, description, Unit.COUNT, (Query(f"({expression}) > 0", f"{{{{dataset}}}}: {{{{{by}}}}}"),))


def _volume() -> str:
    return f"1 - {SCOPE.level(series.VOLUME_AVAILABLE)} / {SCOPE.level(series.VOLUME_SIZE)}"
