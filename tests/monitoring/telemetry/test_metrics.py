"""The exposition agrees with the ledger, the disk and the settings.

The exposition agrees with Prometheus' own parser and its client's writer.
"""

from __future__ import annotations

from itertools import product

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.telemetry.scraping import registry
from timestore_pipeline.errors import AccessDenied
from timestore_pipeline.flush.failure_policy import block_if_configured_wrong
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.monitoring.telemetry.metrics import exposition, render
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

Value = float | None


@pytest.fixture
def scraped(store: Timestore, settings: Settings) -> CollectorRegistry:
    return registry(store.area, settings)


def value(scraped: CollectorRegistry, name: str, **labels: str) -> Value:
    return scraped.get_sample_value(f"timestore_staging_{name}", {"shard": "edge-7", **labels})


@pytest.mark.parametrize(("metric", "expected"), [("batches", 1), ("rows", 20)])
def test_depth_counts_staged_batches(scraped: CollectorRegistry, metric: str, expected: int) -> None:
    assert value(scraped, "queue_depth", dataset="weather", metric=metric) == expected


def test_a_claimed_batch_stays_in_the_depth_and_ages(store: Timestore, scraped: CollectorRegistry) -> None:
    store.pipeline.claim("weather", Trigger.MANUAL, "test")
    assert value(scraped, "queue_depth", dataset="weather", metric="rows") == 20
    assert value(scraped, "in_flight", dataset="weather", metric="rows") == 20
    assert value(scraped, "oldest_age_seconds", dataset="weather")


def test_the_oldest_age_is_zero_when_nothing_waits(store: Timestore, scraped: CollectorRegistry) -> None:
    store.flush("weather", Trigger.MANUAL, "test")
    assert value(scraped, "oldest_age_seconds", dataset="weather") == 0


def test_the_oldest_batch_is_an_instant_that_ages_by_itself(store: Timestore, scraped: CollectorRegistry) -> None:
    staged = store.area.backlog("weather").oldest_staged_at
    assert staged is not None
    assert value(scraped, "oldest_staged_timestamp_seconds", dataset="weather") == staged.timestamp()


def test_where_nothing_waits_there_is_no_oldest_batch(store: Timestore, scraped: CollectorRegistry) -> None:
    store.flush("weather", Trigger.MANUAL, "test")
    assert value(scraped, "oldest_staged_timestamp_seconds", dataset="weather") is None


def test_the_shards_disk_stands_beside_its_limits(store: Timestore, scraped: CollectorRegistry) -> None:
    assert value(scraped, "total_disk_usage_bytes") == store.area.total_bytes()
    assert value(scraped, "total_disk_limit_bytes") == 0
    assert value(scraped, "volume_size_bytes") == store.area.directory.volume().size
    assert 0 < (value(scraped, "volume_available_bytes") or 0) < store.area.directory.volume().size


def test_disk_use_is_the_sum_of_its_components(scraped: CollectorRegistry) -> None:
    parts = [value(scraped, "disk_usage_bytes", dataset="weather", component=part) for part in ("database", "wal")]
    total = value(scraped, "disk_usage_bytes", dataset="weather", component="total")
    assert total == sum(part or 0 for part in parts) > 0
    assert value(scraped, "disk_limit_bytes", dataset="weather") == 536_870_912


def test_thresholds_are_the_datasets_own_where_it_has_some(scraped: CollectorRegistry) -> None:
    found = [value(scraped, "flush_threshold", dataset="planes", metric=m) for m in ("rows", "bytes", "age_seconds")]
    assert found == [7, 134_217_728, 1.5]
    assert value(scraped, "flush_threshold", dataset="weather", metric="age_seconds") == 60


def test_a_flush_moves_its_counters(scraped: CollectorRegistry) -> None:
    assert value(scraped, "flushes_total", dataset="weather", trigger="manual", result="success") == 1
    assert value(scraped, "flush_rows_total", dataset="weather", result="success") == 30
    assert value(scraped, "flush_batches_total", dataset="weather", result="success") == 1


def test_a_flush_is_one_observation_of_the_duration(scraped: CollectorRegistry) -> None:
    labels = {"dataset": "weather", "result": "success"}
    assert value(scraped, "flush_duration_seconds_count", **labels) == 1
    assert value(scraped, "flush_duration_seconds_bucket", le="+Inf", **labels) == 1
    assert value(scraped, "flush_duration_seconds_bucket", le="600.0", **labels) == 1
    assert value(scraped, "flush_duration_seconds_sum", **labels)


@pytest.mark.parametrize("declared", [one for one in series.COUNTERS if one.from_zero], ids=lambda one: one.name)
def test_a_counter_that_may_alert_is_zero_before_it_moves(
    store: Timestore, settings: Settings, declared: series.CounterSeries
) -> None:
    store.set_metadata("new", {})
    labels = [dict(zip(declared.labels, values, strict=True)) for values in product(*declared.labels.values())]
    scraped = registry(store.area, settings)
    assert [value(scraped, declared.name, dataset="new", **each) for each in labels] == [0] * len(labels)


def test_counters_by_trigger_appear_with_the_first_flush(store: Timestore, settings: Settings) -> None:
    text = exposition(store.area, settings)
    assert 'flush_duration_seconds_count{dataset="planes"' not in text
    assert 'flushes_total{dataset="planes"' not in text
    assert 'flush_duration_seconds_count{dataset="weather",result="success"' in text
    assert 'flush_duration_seconds_count{dataset="weather",result="failure"' not in text


def samples_of(dataset: str, text: str) -> int:
    return text.count(f'{{dataset="{dataset}"')


def test_a_dataset_costs_a_bounded_number_of_samples(store: Timestore, settings: Settings) -> None:
    text = exposition(store.area, settings)
    assert samples_of("planes", text) <= 39
    assert samples_of("weather", text) <= 39 + 1 + 15  # a trigger and a histogram more


def test_levels_that_are_nearly_always_zero_are_exposed_while_they_are_not(
    store: Timestore, scraped: CollectorRegistry
) -> None:
    names = ("failures_in_a_row", "paused", "claimed_timestamp_seconds")
    assert [value(scraped, name, dataset="weather") for name in names] == [None, None, None]
    store.area.ledger.datasets.set_paused("weather", True)
    store.area.ledger.flush_failures.postpone("weather", clock.now())
    claimed = store.pipeline.claim("weather", Trigger.MANUAL, "test")
    assert claimed.ref is not None
    instant = store.area.ledger.flushes.get(claimed.ref).claimed_at.timestamp()
    assert [value(scraped, name, dataset="weather") for name in names] == [1, 1, instant]
    assert value(scraped, "active_claims") == 1


def test_a_blocked_dataset_is_exposed_with_the_errors_code(store: Timestore, scraped: CollectorRegistry) -> None:
    assert value(scraped, "blocked", dataset="weather", code="access_denied") is None
    block_if_configured_wrong(store.area, "weather", AccessDenied("the lake's keys are another's"), "")
    assert value(scraped, "blocked", dataset="weather", code="access_denied") == 1
    store.area.ledger.flush_failures.lift_all_blocks()
    assert value(scraped, "blocked", dataset="weather", code="access_denied") is None


def test_quarantined_files_are_counted_apart(store: Timestore, scraped: CollectorRegistry) -> None:
    folder = store.area.directory.root / "quarantine" / "weather"
    folder.mkdir(parents=True)
    (folder / "damaged.duckdb").write_bytes(b"x" * 1234)
    assert value(scraped, "quarantine_usage_bytes") == 1234
    assert value(scraped, "open_incidents") == 0


def test_accepted_batches_are_counted(scraped: CollectorRegistry) -> None:
    assert value(scraped, "accepted_rows_total", dataset="weather") == 50
    assert value(scraped, "accepted_batches_total", dataset="weather") == 2


def test_the_sensors_heartbeat_is_absent_until_it_ticked(store: Timestore, scraped: CollectorRegistry) -> None:
    assert value(scraped, "sensor_last_tick_timestamp_seconds") is None
    ticked = clock.now()
    store.area.ledger.set_meta(SENSOR_LAST_TICK, str(clock.to_micros(ticked)))
    assert value(scraped, "sensor_last_tick_timestamp_seconds") == pytest.approx(ticked.timestamp())


def test_every_series_carries_the_shard(store: Timestore, settings: Settings) -> None:
    families = text_string_to_metric_families(exposition(store.area, settings))
    assert {sample.labels.get("shard") for family in families for sample in family.samples} == {"edge-7"}


def test_every_declared_series_is_exposed_under_its_name(store: Timestore, settings: Settings) -> None:
    text = exposition(store.area, settings)
    counters = (*series.COUNTERS, series.FLUSH_DURATION, series.METRICS_PUSH_FAILURES)
    names = [one.name for one in series.GAUGES] + [one.name for one in counters]
    assert [name for name in names if f"# TYPE {series.PREFIX}{name} " not in text] == []


def test_an_empty_directory_has_no_samples_of_datasets(settings: Settings) -> None:
    with Timestore(settings) as empty:
        families = list(text_string_to_metric_families(exposition(empty.area, settings)))
    datasets = [sample.labels["dataset"] for f in families for sample in f.samples if "dataset" in sample.labels]
    assert datasets == []


def parsed(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_the_text_says_what_the_client_librarys_writer_says(store: Timestore, settings: Settings) -> None:
    ours = parsed(exposition(store.area, settings))
    theirs = parsed(generate_latest(registry(store.area, settings)).decode())
    moving = {key for key in ours if key[0].endswith(("oldest_age_seconds", "volume_available_bytes"))}
    assert ours.keys() == theirs.keys()
    assert {key: ours[key] for key in ours.keys() - moving} == {key: theirs[key] for key in theirs.keys() - moving}


def test_awkward_labels_and_numbers_survive() -> None:
    awkward = 'a "quoted"\nline \\ with a backslash'
    family = GaugeMetricFamily("g", "help", labels=["name"])
    numbers = [0.1, 2.0**60, -1.5, float("inf"), 1792000000.123456]
    for index, number in enumerate(numbers):
        family.add_metric([f"{awkward}{index}"], number)
    found = parsed(render([family]))
    assert found == {("g", frozenset({("name", f"{awkward}{i}")})): number for i, number in enumerate(numbers)}


def test_a_counter_is_named_with_its_suffix() -> None:
    family = CounterMetricFamily("c_total", "help", labels=[])
    family.add_metric([], 3)
    assert render([family]) == "# HELP c_total help\n# TYPE c_total counter\nc_total{} 3\n"
