"""Series about one running server: answered requests by token, connections, and whether its files are in force.

Unlike the series of the staging directory they are counted in this process, so only its own `/metrics` has them, and
counters begin at 0 with each start. Labels are bounded: names come from the operator's file, never from a request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from timestore_pipeline.doors.access.gate import Access
from timestore_pipeline.doors.http.roster import Roster
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.monitoring.telemetry.metrics import render
from timestore_pipeline.monitoring.telemetry.series import ApiSeries

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, float("inf"))  # seconds
_BOUNDS = [*(str(bound) for bound in _BUCKETS[:-1]), "+Inf"]


class Durations:
    """A histogram of seconds."""

    def __init__(self) -> None:
        self._counts = [0] * len(_BUCKETS)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(_BUCKETS, seconds)] += 1
        self.total += seconds

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds with how many were below them."""
        return list(zip(_BOUNDS, accumulate(self._counts), strict=True))


class ServerMetrics:
    """To be used in the event loop only."""

    def __init__(self, access: Access, roster: Roster) -> None:
        self._access = access
        self._roster = roster
        self._answered: Counter[tuple[str, ...]] = Counter()
        self._seconds: dict[str, Durations] = {}

    def count(self, token: str, right: str, status: int, seconds: float) -> None:
        """One answered request. token: its name, empty without a valid one."""
        self._answered[token, right, str(status)] += 1
        if status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):  # these took no work
            self._seconds.setdefault(right, Durations()).observe(seconds)

    def exposition(self, shard: str) -> str:
        """In Prometheus' text format."""
        return render(self._families(shard))

    def _families(self, shard: str) -> Iterator[Metric]:
        declared = series.REQUESTS
        answered = CounterMetricFamily(declared.name, declared.help, labels=[*declared.labels, "shard"])
        for labels, count in sorted(self._answered.items()):
            answered.add_metric([*labels, shard], count)
        yield answered
        yield self._durations(shard)
        yield _gauge(series.CONNECTIONS, {(): len(self._roster)}, shard)
        yield _gauge(series.CONNECTIONS_LIMIT, {(): self._roster.most}, shard)
        yield _gauge(series.TOKENS, {(): len(self._access.gate.tokens)}, shard)
        refused: dict[tuple[str, ...], float] = {
            (file.what,): int(file.refusal is not None) for file in self._access.files
        }
        yield _gauge(series.FILE_REFUSED, refused, shard)

    def _durations(self, shard: str) -> Metric:
        declared = series.REQUEST_SECONDS
        family = HistogramMetricFamily(declared.name, declared.help, labels=[*declared.labels, "shard"])
        for right, durations in sorted(self._seconds.items()):
            family.add_metric([right, shard], durations.buckets, durations.total)
        return family


def _gauge(declared: ApiSeries, samples: Mapping[tuple[str, ...], float], shard: str) -> Metric:
    family = GaugeMetricFamily(declared.name, declared.help, labels=[*declared.labels, "shard"])
    for labels, value in samples.items():
        family.add_metric([*labels, shard], value)
    return family
