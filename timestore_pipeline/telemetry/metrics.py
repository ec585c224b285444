"""Prometheus series, read from the ledger, the disk and the settings at the moment of the scrape.

Nothing is counted in this process, so it does not matter which process is scraped or pushes: all say the same, and a
counter never goes back because a process ended.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from timestore_pipeline import clock
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.staging.ledger.counters import FLUSH_DURATION_BUCKETS, CounterValue
from timestore_pipeline.telemetry import series

Labels = frozenset[tuple[str, str]]
Samples = Mapping[Labels, float]  # labels without `shard` -> value


class StagingCollector(Collector):
    """One staging directory's series; register it in any `CollectorRegistry`.

    Collecting may raise what reading the ledger raises: `LedgerBusy`, `Corrupted`.
    """

    def __init__(self, area: StagingArea, settings: Settings) -> None:
        self._area = area
        self._settings = settings

    def describe(self) -> list[Metric]:
        """Nothing, which keeps the registry from collecting when the collector is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        datasets = [record.name for record in self._area.ledger.datasets.all()]
        yield from self._backlogs()
        yield from self._disk(datasets)
        yield from self._shard()
        yield self._thresholds()
        yield from self._counted(datasets)
        yield from self._heartbeat()

    def _backlogs(self) -> Iterator[Metric]:
        backlogs, now = self._area.backlogs(), clock.now()
        yield self._gauge(series.QUEUE_DEPTH, _per_metric({b.dataset: b.queued for b in backlogs}))
        yield self._gauge(series.IN_FLIGHT, _per_metric({b.dataset: b.in_flight for b in backlogs}))
        yield self._gauge(series.QUARANTINED, _per_metric({b.dataset: b.quarantined for b in backlogs}))
        ages = {_labels(dataset=b.dataset): b.oldest_age(now).total_seconds() for b in backlogs}
        yield self._gauge(series.OLDEST_AGE, ages)
        staged = {_labels(dataset=b.dataset): b.oldest_staged_at.timestamp() for b in backlogs if b.oldest_staged_at}
        yield self._gauge(series.OLDEST_STAGED, staged)

    def _disk(self, datasets: list[str]) -> Iterator[Metric]:
        used: dict[Labels, float] = {}
        for dataset in datasets:
            usage = self._area.dataset_usage(dataset)
            sizes = {"database": usage.database, "wal": usage.wal, "total": usage.total}
            used |= {_labels(dataset=dataset, component=component): size for component, size in sizes.items()}
        yield self._gauge(series.DISK_USAGE, used)
        limit = self._settings.staging_max_dataset_bytes
        yield self._gauge(series.DISK_LIMIT, {_labels(dataset=dataset): limit for dataset in datasets})

    def _shard(self) -> Iterator[Metric]:
        volume = self._area.directory.volume()
        levels = {
            series.TOTAL_DISK_USAGE: self._area.total_bytes(),
            series.TOTAL_DISK_LIMIT: self._settings.staging_max_total_bytes,
            series.VOLUME_SIZE: volume.size,
            series.VOLUME_AVAILABLE: volume.available,
        }
        for declared, level in levels.items():
            yield self._gauge(declared, {_labels(): level})

    def _thresholds(self) -> Metric:
        found: dict[Labels, float] = {}
        for record in self._area.ledger.datasets.all():
            limits = self._settings.thresholds.overridden(record.metadata.staging.flush)
            values = {"rows": limits.max_rows, "bytes": limits.max_bytes, "age_seconds": limits.max_age.total_seconds()}
            found |= {_labels(dataset=record.name, metric=metric): value for metric, value in values.items()}
        return self._gauge(series.FLUSH_THRESHOLD, found)

    def _counted(self, datasets: list[str]) -> Iterator[Metric]:
        moved: dict[str, dict[Labels, float]] = {}
        for counter in self._area.ledger.counters.all():
            moved.setdefault(counter.series, {})[_labels_of(counter)] = counter.value
        for declared in series.COUNTERS:
            yield self._counter(declared, _zeros(declared, datasets) | moved.get(declared.name, {}))
        yield self._durations(datasets, moved)

    def _durations(self, datasets: list[str], moved: Mapping[str, Samples]) -> Metric:
        name = series.FLUSH_DURATION.name
        buckets, sums, counts = (moved.get(f"{name}_{part}", {}) for part in ("bucket", "sum", "count"))
        family = HistogramMetricFamily(
            series.PREFIX + name, series.FLUSH_DURATION.help, labels=["dataset", "result", "shard"]
        )
        for labels in _zeros(series.FLUSH_DURATION, datasets):
            steps = [(str(bound), buckets.get(labels | {("le", str(bound))}, 0)) for bound in FLUSH_DURATION_BUCKETS]
            given = dict(labels)
            family.add_metric(
                [given["dataset"], given["result"], self._area.shard],
                [*steps, ("+Inf", counts.get(labels, 0))],
                sums.get(labels, 0),
            )
        return family

    def _heartbeat(self) -> Iterator[Metric]:
        ticked = self._area.ledger.get_meta(SENSOR_LAST_TICK)
        if ticked is not None:
            yield self._gauge(series.SENSOR_LAST_TICK, {_labels(): int(ticked) / 1e6})

    def _gauge(self, declared: series.GaugeSeries, samples: Samples) -> Metric:
        names = [*declared.labels, "shard"]
        return self._filled(
            GaugeMetricFamily(series.PREFIX + declared.name, declared.help, labels=names), names, samples
        )

    def _counter(self, declared: series.CounterSeries, samples: Samples) -> Metric:
        names = ["dataset", *declared.labels, "shard"]
        return self._filled(
            CounterMetricFamily(series.PREFIX + declared.name, declared.help, labels=names), names, samples
        )

    def _filled(self, family: GaugeMetricFamily | CounterMetricFamily, names: list[str], samples: Samples) -> Metric:
        for labels, value in samples.items():
            given = dict(labels) | {"shard": self._area.shard}
            family.add_metric([given[name] for name in names], value)
        return family


def exposition(area: StagingArea, settings: Settings) -> str:
    """All series in Prometheus' text format; raises `LedgerBusy` or `Corrupted`."""
    return generate_latest(registry(area, settings)).decode()


def registry(area: StagingArea, settings: Settings) -> CollectorRegistry:
    """A registry that holds this directory's series and nothing of this process."""
    found = CollectorRegistry()
    found.register(StagingCollector(area, settings))
    return found


def _labels(**given: str) -> Labels:
    return frozenset(given.items())


def _labels_of(counter: CounterValue) -> Labels:
    return frozenset((counter.labels | {"dataset": counter.dataset}).items())


def _per_metric(volumes: Mapping[str, Volume]) -> dict[Labels, float]:
    return {
        _labels(dataset=dataset, metric=metric): getattr(volume, metric)
        for dataset, volume in volumes.items()
        for metric in ("batches", "rows", "bytes")
    }


def _zeros(declared: series.CounterSeries, datasets: list[str]) -> dict[Labels, float]:
    """A series that appears with its first increase hides that increase from `rate`."""
    names = list(declared.labels)
    return {
        _labels(dataset=dataset, **dict(zip(names, values, strict=True))): 0.0
        for dataset in datasets
        for values in itertools.product(*declared.labels.values())
    }
