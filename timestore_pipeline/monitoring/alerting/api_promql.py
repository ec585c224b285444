"""PromQL over the series of HTTP servers, whose counters begin at 0 with each start."""

from __future__ import annotations

from timestore_pipeline.monitoring.alerting.promql import Scope
from timestore_pipeline.monitoring.telemetry import api_series
from timestore_pipeline.monitoring.telemetry.api_series import ApiSeries

STAGING = 'right="stage"'
UNAUTHORISED, BUSY, REFUSED, FAILED = 'status=~"401|403"', 'status="429"', 'status=~"4.."', 'status=~"5.."'


def api(scope: Scope, declared: ApiSeries, *matchers: str, part: str = "") -> str:
    """A selector; part: of a histogram; matchers: such as `status=~"5.."`."""
    return f"{declared.name}{part}{{{','.join((scope.shard, *matchers))}}}"


def answered(scope: Scope, window: str, by: str, *matchers: str) -> str:
    """Requests answered within the window, per shard and `by`.

    A series that did not exist at the start of the window counts with its whole value, provided that the server was
    scraped then.
    """
    requests = api(scope, api_series.REQUESTS, *matchers)
    scraped = f"{api(scope, api_series.TOKENS)} offset {window}"
    new = f"({requests} unless {requests} offset {window}) and on (shard) {scraped}"
    return f"sum by ({_grouped(by)}) (\n  {new}\n  or increase({requests}[{window}])\n)"


def request_quantile(scope: Scope, quantile: float, window: str, *matchers: str) -> str:
    """Seconds within which this share of the requests was answered, by right; no sample where there was none."""
    buckets = api(scope, api_series.REQUEST_SECONDS, *matchers, part="_bucket")
    return f"histogram_quantile({quantile}, sum by (shard, right, le) (rate({buckets}[{window}]))) >= 0"


def _grouped(by: str) -> str:
    return f"shard, {by}" if by else "shard"
