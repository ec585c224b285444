"""Panels about the HTTP servers: empty where Prometheus does not scrape them."""

from __future__ import annotations

from timestore_pipeline.monitoring.alerting import api_promql
from timestore_pipeline.monitoring.alerting.alert_levels import RECENTLY
from timestore_pipeline.monitoring.alerting.api_promql import BUSY, FAILED, REFUSED, api
from timestore_pipeline.monitoring.alerting.panel import Panel, Query, Unit
from timestore_pipeline.monitoring.alerting.panel_queries import SCOPE
from timestore_pipeline.monitoring.alerting.promql import Durations
from timestore_pipeline.monitoring.telemetry import api_series

_LIMIT = "limit ({{shard}})"


def api_panels(durations: Durations) -> tuple[Panel, ...]:
    window = durations.span(RECENTLY)
    requests = f"sum by (right, status) (rate({api(SCOPE, api_series.REQUESTS)}[$__rate_interval]))"
    refused = api_promql.answered(SCOPE, window, "token, right, status", REFUSED)
    failed = api_promql.answered(SCOPE, window, "right, status", FAILED)
    busy = api_promql.answered(SCOPE, window, "token, right", BUSY)
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
              (Query(api_promql.request_quantile(SCOPE, 0.95, window), "{{right}} ({{shard}})"),)),
        Panel("HTTP: connections", "From the limit on, idle ones give way to new ones.", Unit.COUNT,
              (Query(f"sum by (shard) ({api(SCOPE, api_series.CONNECTIONS)})", "{{shard}}"),
               Query(f"sum by (shard) ({api(SCOPE, api_series.CONNECTIONS_LIMIT)})", _LIMIT, limit=True))),
        Panel("HTTP: tokens in force, files refused", "0 tokens: none is required.", Unit.COUNT,
              (Query(f"max by (shard) ({api(SCOPE, api_series.TOKENS)})", "tokens ({{shard}})"),
               Query(f"max by (shard, file) ({api(SCOPE, api_series.FILE_REFUSED)})", "{{file}} refused ({{shard}})"))),
    )  # fmt: skip
