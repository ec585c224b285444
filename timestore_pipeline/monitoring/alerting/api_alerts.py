"""Alerts about the HTTP servers of a shard; they need a Prometheus that scrapes `/metrics` of each."""

from __future__ import annotations

from collections.abc import Iterator

from timestore_pipeline.monitoring.alerting import api_promql
from timestore_pipeline.monitoring.alerting.alert import Alert, Severity
from timestore_pipeline.monitoring.alerting.alert_levels import (
    FAILING,
    MINUTE,
    RECENTLY,
    REFUSED_OFTEN,
    REQUESTS_SLOW,
    Watch,
)
from timestore_pipeline.monitoring.alerting.api_promql import BUSY, FAILED, STAGING, UNAUTHORISED
from timestore_pipeline.monitoring.telemetry import api_series


def api_alerts(watch: Watch) -> Iterator[Alert]:
    yield from _errors(watch)
    yield from _refusals(watch)
    slowest = api_promql.request_quantile(watch.scope, 0.95, watch.durations.span(RECENTLY), STAGING)
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
        f"max by (shard, file) ({api_promql.api(watch.scope, api_series.FILE_REFUSED)}) > 0",
        "{{ $labels.shard }}: the server's file was refused ({{ $labels.file }})",
        "The HTTP server of shard {{ $labels.shard }} could not use the last version of the file, and keeps the one"
        " before: a revoked token is still accepted, or a certificate will expire. The server would not start again.",
    )


def _errors(watch: Watch) -> Iterator[Alert]:
    window = watch.durations.span(RECENTLY)
    yield Alert(
        "TimestoreApiErrors",
        Severity.WARNING,
        f"{api_promql.answered(watch.scope, window, 'right, status', FAILED)} > 0",
        "{{ $labels.shard }}: the HTTP server answered {{ $value }} requests with {{ $labels.status }}",
        "The server of shard {{ $labels.shard }} could not do what requests asked for (right: {{ $labels.right }}) in"
        f" the last {window}. No acknowledged batch is lost.",
    )
    staged = api_promql.answered(watch.scope, window, "", STAGING)
    yield Alert(
        "TimestoreApiErrors",
        Severity.PAGE,
        f"{api_promql.answered(watch.scope, window, '', STAGING, FAILED)}\n/ {staged} > {FAILING:g}\n"
        f"and {staged} >= {REFUSED_OFTEN}",
        "{{ $labels.shard }}: {{ $value | humanizePercentage }} of the batches are not accepted over HTTP",
        f"Producers that send to shard {{{{ $labels.shard }}}} cannot stage their rows, in the last {window}.",
    )


def _refusals(watch: Watch) -> Iterator[Alert]:
    window = watch.durations.span(RECENTLY)
    unauthorised = api_promql.answered(watch.scope, window, "token, right, status", UNAUTHORISED)
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
        f"{api_promql.answered(watch.scope, window, 'token, right', BUSY)} > 0",
        "{{ $labels.shard }}: {{ $value }} requests asked to come back later (token: {{ $labels.token }})",
        "A queue or the HTTP server of shard {{ $labels.shard }} was full (right: {{ $labels.right }}) in the last"
        f" {window}. The rows are lost unless the producer sends them again.",
    )
