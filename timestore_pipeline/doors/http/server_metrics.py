"""Series about one running server: answered requests by token, and whether its files are in force.

Unlike the series of the staging directory they are counted in this process, so only its own `/metrics` has them, and
counters begin at 0 with each start. Labels are bounded: names come from the operator's file, never from a request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from timestore_pipeline.doors.access.access import Access
from timestore_pipeline.monitoring.telemetry.metrics import render


class ServerMetrics:
    """To be used in the event loop only."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._answered: Counter[tuple[str, str, str]] = Counter()

    def count(self, token: str, right: str, status: int) -> None:
        """One answered request. token: its name, empty without a valid one."""
        self._answered[token, right, str(status)] += 1

    def exposition(self, shard: str) -> str:
        """In Prometheus' text format."""
        return render(self._families(shard))

    def _families(self, shard: str) -> Iterator[Metric]:
        answered = CounterMetricFamily(
            "timestore_api_requests",
            "Answered requests that need a right; token is empty without a valid one.",
            labels=["token", "right", "status", "shard"],
        )
        for labels, count in sorted(self._answered.items()):
            answered.add_metric([*labels, shard], count)
        yield answered
        tokens = GaugeMetricFamily("timestore_api_tokens", "Tokens in force; 0 = none is required.", labels=["shard"])
        tokens.add_metric([shard], len(self._access.gate.tokens))
        yield tokens
        refused = GaugeMetricFamily(
            "timestore_api_file_refused",
            "1 = the file was changed and refused, and its last good version is in force.",
            labels=["file", "shard"],
        )
        for file in self._access.files:
            refused.add_metric([file.what, shard], file.refusal is not None)
        yield refused
