"""The exposition agrees with Prometheus' own parser and its client's writer."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from timestore_pipeline.monitoring.telemetry.metrics import exposition, registry, render
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore


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
