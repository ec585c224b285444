"""Prometheus series, read from the ledger, the disk and the settings at the moment of the scrape.

No count is kept in the process, so it does not matter which process is scraped or pushes: all have the same values, and
a counter never goes back because a process ended.

Prometheus' text format, version 0.0.4.

The client library's own writer checks and escapes every label of every sample; with a thousand datasets that was most
of the cost of a scrape. Here a value is escaped only if it holds a character that needs it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from timestore_pipeline.model.flush import Backlog
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.staging.ledger.counters import FLUSH_DURATION_BUCKETS
from timestore_pipeline.system import clock

Labels = tuple[str, ...]  # values of the series' own labels, in the order of their declaration, without the shard
Samples = Mapping[Labels, float]

_VOLUME = ("batches", "rows", "bytes")
_EXACT = 2**53  # up to here a float holds every whole number
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class StagingCollector(Collector):
    """One staging directory's series; register it in any `CollectorRegistry`.

    Collecting may raise the errors of reading the ledger: `LedgerBusy`, `Corrupted`.
    """

    def __init__(self, area: StagingArea, settings: Settings) -> None:
        self._area = area
        self._settings = settings

    def describe(self) -> list[Metric]:
        """Empty, so that the registry does not collect when the collector is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        backlogs = self._area.backlogs()
        datasets = [backlog.dataset for backlog in backlogs]
        yield from self._backlogs(backlogs)
        yield from self._claims(backlogs)
        yield from self._disk(datasets)
        yield from self._shard()
        yield self._thresholds(set(datasets))
        created = self._area.ledger.datasets.created()
        yield self._gauge(series.CREATED, {(name,): created[name].timestamp() for name in datasets if name in created})
        yield from self._counters(backlogs)
        yield from self._pushes()

    def _backlogs(self, backlogs: Sequence[Backlog]) -> Iterator[Metric]:
        now = clock.now()
        for declared, state in (
            (series.QUEUE_DEPTH, "queued"),
            (series.IN_FLIGHT, "in_flight"),
            (series.QUARANTINED, "quarantined"),
        ):
            volumes = [(b.dataset, getattr(b, state)) for b in backlogs]
            yield self._gauge(declared, {(d, metric): getattr(v, metric) for d, v in volumes for metric in _VOLUME})
        yield self._gauge(series.OLDEST_AGE, {(b.dataset,): b.oldest_age(now).total_seconds() for b in backlogs})
        staged: dict[Labels, float] = {
            (b.dataset,): b.oldest_staged_at.timestamp() for b in backlogs if b.oldest_staged_at
        }
        yield self._gauge(series.OLDEST_STAGED, staged)

    def _claims(self, backlogs: Sequence[Backlog]) -> Iterator[Metric]:
        claimed: dict[Labels, float] = {(b.dataset,): b.claimed_at.timestamp() for b in backlogs if b.claimed_at}
        yield self._gauge(series.CLAIMED_AT, claimed)
        yield self._gauge(series.ACTIVE_CLAIMS, {(): len(claimed)})
        yield self._gauge(series.FAILURES_IN_A_ROW, {(b.dataset,): b.failures for b in backlogs if b.failures})
        yield self._gauge(series.PAUSED, {(b.dataset,): 1 for b in backlogs if b.paused})
        yield self._gauge(series.BLOCKED, {(b.dataset, b.block.code): 1 for b in backlogs if b.block})

    def _disk(self, datasets: Sequence[str]) -> Iterator[Metric]:
        used: dict[Labels, float] = {}
        for dataset in datasets:
            usage = self._area.dataset_usage(dataset)
            used |= {
                (dataset, "database"): usage.segments,
                (dataset, "wal"): usage.journals,
                (dataset, "total"): usage.total,
            }
        yield self._gauge(series.DISK_USAGE, used)
        limit = self._settings.staging_max_dataset_bytes
        yield self._gauge(series.DISK_LIMIT, {(dataset,): limit for dataset in datasets})

    def _shard(self) -> Iterator[Metric]:
        volume = self._area.directory.volume()
        levels = {
            series.TOTAL_DISK_USAGE: self._area.total_bytes(),
            series.TOTAL_DISK_LIMIT: self._settings.staging_max_total_bytes,
            series.VOLUME_SIZE: volume.size,
            series.VOLUME_AVAILABLE: volume.available,
            series.OPEN_INCIDENTS: self._area.ledger.open_incidents(),
            series.QUARANTINE_USAGE: self._area.quarantine_bytes(),
        }
        for declared, level in levels.items():
            yield self._gauge(declared, {(): level})
        ticked = self._area.ledger.get_meta(SENSOR_LAST_TICK)
        yield self._gauge(series.SENSOR_LAST_TICK, {} if ticked is None else {(): int(ticked) / 1e6})

    def _thresholds(self, datasets: set[str]) -> Metric:
        found: dict[Labels, float] = {}
        for name, metadata in self._area.ledger.datasets.all_metadata().items():
            if name in datasets:
                limits = self._settings.thresholds.overridden(metadata.staging.flush)
                age = limits.max_age.total_seconds()
                found |= {
                    (name, "rows"): limits.max_rows,
                    (name, "bytes"): limits.max_bytes,
                    (name, "age_seconds"): age,
                }
        return self._gauge(series.FLUSH_THRESHOLD, found)

    def _counters(self, backlogs: Sequence[Backlog]) -> Iterator[Metric]:
        datasets = [backlog.dataset for backlog in backlogs]
        counted = self._counted(set(datasets))
        accepted = {
            series.ACCEPTED_BATCHES.name: {(b.dataset,): float(b.accepted.batches) for b in backlogs},
            series.ACCEPTED_ROWS.name: {(b.dataset,): float(b.accepted.rows) for b in backlogs},
        }
        for declared in series.COUNTERS:
            labels = itertools.product(datasets, *declared.labels.values()) if declared.from_zero else ()
            zeros: dict[Labels, float] = dict.fromkeys(labels, 0.0)
            yield self._counter(declared, zeros | (accepted.get(declared.name) or counted.get(declared.name, {})))
        yield self._durations(counted)
        for level in (series.VERIFIED, series.VERIFY_PROBLEMS):
            yield self._gauge(level, counted.get(level.name, {}))

    def _counted(self, datasets: set[str]) -> dict[str, dict[Labels, float]]:
        """Series -> label values -> value. The ledger keeps a counter's labels sorted, a declaration may not."""
        order = {declared.name: list(declared.labels) for declared in series.COUNTERS}
        found: dict[str, dict[Labels, float]] = {}
        for counter in self._area.ledger.counters.all():
            if counter.dataset in datasets:
                names = order.get(counter.series, sorted(counter.labels))
                labels = (counter.dataset, *(counter.labels[name] for name in names))
                found.setdefault(counter.series, {})[labels] = counter.value
        return found

    def _durations(self, counted: Mapping[str, Samples]) -> Metric:
        name = series.FLUSH_DURATION.name
        buckets, sums, counts = (counted.get(f"{name}_{part}", {}) for part in ("bucket", "sum", "count"))
        labels = ["dataset", "result", "shard"]
        family = HistogramMetricFamily(series.PREFIX + name, series.FLUSH_DURATION.help, labels=labels)
        for (dataset, result), count in counts.items():
            steps = [(str(le), buckets.get((dataset, str(le), result), 0)) for le in FLUSH_DURATION_BUCKETS]
            given = [dataset, result, self._area.shard]
            family.add_metric(given, [*steps, ("+Inf", count)], sums.get((dataset, result), 0))
        return family

    def _pushes(self) -> Iterator[Metric]:
        state = self._area.ledger.pushes.state()
        yield self._gauge(series.METRICS_PUSHED, {(): state.pushed.timestamp()} if state.pushed else {})
        failures = series.METRICS_PUSH_FAILURES
        family = CounterMetricFamily(series.PREFIX + failures.name, failures.help, labels=["shard"])
        yield self._filled(family, {(): state.failures})

    def _gauge(self, declared: series.GaugeSeries, samples: Samples) -> Metric:
        names = [*declared.labels, "shard"]
        return self._filled(GaugeMetricFamily(series.PREFIX + declared.name, declared.help, labels=names), samples)

    def _counter(self, declared: series.CounterSeries, samples: Samples) -> Metric:
        names = ["dataset", *declared.labels, "shard"]
        return self._filled(CounterMetricFamily(series.PREFIX + declared.name, declared.help, labels=names), samples)

    def _filled(self, family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
        for labels, value in samples.items():
            family.add_metric([*labels, self._area.shard], value)
        return family


def exposition(area: StagingArea, settings: Settings) -> str:
    """All series in Prometheus' text format; raises `LedgerBusy` or `Corrupted`."""
    return render(StagingCollector(area, settings).collect())


def render(families: Iterable[Metric]) -> str:
    """The exposition of counters, gauges and histograms."""
    return "".join(line for family in families for line in _lines(family))


def _lines(family: Metric) -> Iterator[str]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    yield f"# HELP {name} {family.documentation}\n# TYPE {name} {family.type}\n"
    for sample in family.samples:
        yield f"{sample.name}{_labels(sample.labels)} {_number(sample.value)}\n"


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())]) + "}"


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value


def _number(value: float) -> str:
    """Whole numbers without their `.0`: most samples are counts, and most of those are 0."""
    return str(int(value)) if abs(value) < _EXACT and value == int(value) else str(floatToGoString(value))  # type: ignore[no-untyped-call]
