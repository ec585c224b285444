"""Alerts and panels about the HTTP servers of a shard.

They need a Prometheus that scrapes `/metrics` of each server, and are empty without one. A server's counters begin at 0
with each start.
"""

from __future__ import annotations

from collections.abc import Iterator

from timestore_pipeline.monitoring.alerting.alert import (
    FAILING,
    MINUTE,
    RECENTLY,
    REFUSED_OFTEN,
    REQUESTS_SLOW,
    Alert,
    Severity,
    Watch,
)
from timestore_pipeline.monitoring.alerting.panel import SCOPE, Panel, Query, Unit
from timestore_pipeline.monitoring.alerting.promql import RuleDurations, Scope
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.monitoring.telemetry.series import ApiSeries

STAGING = 'right="stage"'
UNAUTHORISED, BUSY, REFUSED, FAILED = 'status=~"401|403"', 'status="429"', 'status=~"4.."', 'status=~"5.."'
_LIMIT = "limit ({{shard}})"


def api_alerts(watch: Watch) -> Iterator[Alert]:
    yield from _errors(watch)
    yield from _refusals(watch)
    slowest = request_p95(watch.scope, watch.durations.span(RECENTLY), STAGING)
    yield Alert(
        "TimestoreApiSlow",
        Severity.WARNING,
        f"{slowest} > {REQUESTS_SLOW:g}",
        "{{ $labels.shard }}: batches take {{ $value | humanizeDuration }} over HTTP (p95)",
        "The slowest requests that stage a batch on shard {{ $labels.shard }} take longer than"
        f" {REQUESTS_SLOW:g} s: disk, processors or the ledger are overloaded, or bodies are very large.",
        hold=15 * MINUTE,
    )
    yield Alert(
        "TimestoreApiFileRefused",
        Severity.WARNING,
        f"max by (shard, file) ({api(watch.scope, series.FILE_REFUSED)}) > 0",
        "{{ $labels.shard }}: the server's file was refused ({{ $labels.file }})",
        "The HTTP server of shard {{ $labels.shard }} could not use the last version of the file, and keeps the one"
        " before: a revoked token is still accepted, or a certificate will expire. The server would not start again.",
    )


def _errors(watch: Watch) -> Iterator[Alert]:
    window = watch.durations.span(RECENTLY)
    yield Alert(
        "TimestoreApiErrors",
        Severity.WARNING,
        f"{answered(watch.scope, window, 'right, status', FAILED)} > 0",
        "{{ $labels.shard }}: the HTTP server answered {{ $value }} requests with {{ $labels.status }}",
        "The server of shard {{ $labels.shard }} could not do what requests asked for (right: {{ $labels.right }}) in"
        f" the last {window}. No acknowledged batch is lost.",
    )
    staged = answered(watch.scope, window, "", STAGING)
    yield Alert(
        "TimestoreApiErrors",
        Severity.PAGE,
        f"{answered(watch.scope, window, '', STAGING, FAILED)}\n/ {staged} > {FAILING:g}\n"
        f"and {staged} >= {REFUSED_OFTEN}",
        "{{ $labels.shard }}: {{ $value | humanizePercentage }} of the batches are not accepted over HTTP",
        f"Producers that send to shard {{{{ $labels.shard }}}} cannot stage their rows, in the last {window}.",
    )


def _refusals(watch: Watch) -> Iterator[Alert]:
    window = watch.durations.span(RECENTLY)
    unauthorised = answered(watch.scope, window, "token, right, status", UNAUTHORISED)
    yield Alert(
        "TimestoreApiRefused",
        Severity.WARNING,
        f"{unauthorised} >= {REFUSED_OFTEN}",
        "{{ $labels.shard }}: {{ $value }} requests refused with {{ $labels.status }} (token: {{ $labels.token }})",
        "A client of shard {{ $labels.shard }} has no token in force (401), or one without the right"
        f" {{{{ $labels.right }}}} on the dataset (403), in the last {window}. Its rows are not staged.",
    )
    yield Alert(
        "TimestoreApiBusy",
        Severity.WARNING,
        f"{answered(watch.scope, window, 'token, right', BUSY)} > 0",
        "{{ $labels.shard }}: {{ $value }} requests asked to come back later (token: {{ $labels.token }})",
        "A queue or the HTTP server of shard {{ $labels.shard }} was full (right: {{ $labels.right }}) in the last"
        f" {window}. The rows are lost unless the producer sends them again.",
    )


def api_panels(durations: RuleDurations) -> tuple[Panel, ...]:
    window = durations.span(RECENTLY)
    requests = f"sum by (right, status) (rate({api(SCOPE, series.REQUESTS)}[$__rate_interval]))"
    refused = answered(SCOPE, window, "token, right, status", REFUSED)
    failed = answered(SCOPE, window, "right, status", FAILED)
    busy = answered(SCOPE, window, "token, right", BUSY)
    return (
        Panel("HTTP: requests per second", "That need a right, answered.", Unit.PER_SECOND,
              (Query(requests, "{{right}}, {{status}}"),)),
        Panel("HTTP: refused requests", "Recently, for the request itself, its token, or lack of room.", Unit.COUNT,
              (Query(f"({refused}) > 0", "{{token}}: {{right}}, {{status}} ({{shard}})"),)),
        Panel("HTTP: asked to come back later", "Recently: a queue or the server was full.", Unit.COUNT,
              (Query(f"({busy}) > 0", "{{token}}: {{right}} ({{shard}})"),)),
        Panel("HTTP: errors of the server", "Recently.", Unit.COUNT,
              (Query(f"({failed}) > 0", "{{right}}, {{status}} ({{shard}})"),)),
        Panel("HTTP: duration of requests (p95)", "From a request's head to its answer.", Unit.SECONDS,
              (Query(request_p95(SCOPE, window), "{{right}} ({{shard}})"),)),
        Panel("HTTP: connections", "From the limit on, idle ones give way to new ones.", Unit.COUNT,
              (Query(f"sum by (shard) ({api(SCOPE, series.CONNECTIONS)})", "{{shard}}"),
               Query(f"sum by (shard) ({api(SCOPE, series.CONNECTIONS_LIMIT)})", _LIMIT, limit=True))),
        Panel("HTTP: tokens in force, files refused", "0 tokens: none is required.", Unit.COUNT,
              (Query(f"max by (shard) ({api(SCOPE, series.TOKENS)})", "tokens ({{shard}})"),
               Query(f"max by (shard, file) ({api(SCOPE, series.FILE_REFUSED)})", "{{file}} refused ({{shard}})"))),
    )  # fmt: skip


def api(scope: Scope, declared: ApiSeries, *matchers: str, part: str = "") -> str:
    """A selector; part: of a histogram; matchers: such as `status=~"5.."`."""
    return f"{declared.name}{part}{{{','.join((scope.shard, *matchers))}}}"


def answered(scope: Scope, window: str, by: str, *matchers: str) -> str:
    """Requests answered within the window, per shard and `by`.

    A series that did not exist at the start of the window counts with its whole value, provided that the server was
    scraped then.
    """
    requests = api(scope, series.REQUESTS, *matchers)
    scraped = f"{api(scope, series.TOKENS)} offset {window}"
    new = f"({requests} unless {requests} offset {window}) and on (shard) {scraped}"
    grouped = f"shard, {by}" if by else "shard"
    return f"sum by ({grouped}) (\n  {new}\n  or increase({requests}[{window}])\n)"


def request_p95(scope: Scope, window: str, *matchers: str) -> str:
    """Seconds within which 95 of 100 requests were answered, by right; no sample where there was none."""
    buckets = api(scope, series.REQUEST_SECONDS, *matchers, part="_bucket")
    return f"histogram_quantile(0.95, sum by (shard, right, le) (rate({buckets}[{window}]))) >= 0"
