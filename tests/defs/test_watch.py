"""`dataset_watch_sensor`: what it records, when it asks for a reload, and that it needs no daemon to be tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from tests.defs.flushing import build, hourly
from tests.defs.web_server import serving
from timestore_pipeline import StagingManager
from timestore_pipeline.definitions import defs
from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.defs.resource import TimestoreResource
from timestore_pipeline.defs.watch import dataset_watch_sensor
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


@contextmanager
def loaded(instance: dg.DagsterInstance) -> Iterator[Any]:
    """Ticks with the definitions as they are now, however the data changes meanwhile."""
    definitions = defs()

    def tick(cursor: str | None = None) -> Any:
        resources = {"timestore": TimestoreResource()}
        with dg.build_sensor_context(instance, cursor=cursor, resources=resources, definitions=definitions) as context:
            return dataset_watch_sensor.evaluate_tick(context)

    yield tick


def observed(decided: Any) -> list[dg.AssetObservation]:
    return [event for event in decided.asset_events if isinstance(event, dg.AssetObservation)]


def evaluated(decided: Any) -> dict[str, bool]:
    return {e.check_name: e.passed for e in decided.asset_events if isinstance(e, dg.AssetCheckEvaluation)}


def test_without_datasets_there_is_nothing_to_record(timestore: Timestore, instance: dg.DagsterInstance) -> None:
    with loaded(instance) as tick:
        decided = tick()
    assert decided.asset_events == []
    assert decided.skip_message == "0 observations, 0 changed verdicts; every dataset is an asset"


def test_a_backlog_is_observed_and_every_check_is_answered(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    with loaded(instance) as tick:
        decided = tick()
    assert [event.metadata["staged_rows"].value for event in observed(decided)] == [3]
    assert evaluated(decided) == dict.fromkeys(("fresh", "below_guardrail", "quarantine_empty", "books_balance"), True)


def test_nothing_is_recorded_twice(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(3))
    with loaded(instance) as tick:
        first = tick()
        for event in first.asset_events:
            instance.report_runless_asset_event(event)
        assert tick(first.cursor).asset_events == []


def test_a_backlog_that_nobody_flushes_fails_its_check(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    timestore.set_metadata("weather", {"staging": {"flush": {"maxAgeMs": 1_000}}})
    staging.enqueue("weather", hourly(3))
    with loaded(instance) as tick:
        in_a_while = clock.now() + timedelta(minutes=5)
        monkeypatch.setattr("timestore_pipeline.defs.watch.clock.now", lambda: in_a_while)
        assert evaluated(tick())["fresh"] is False


def test_a_materialization_that_no_flush_stored_fails_the_check_until_the_next_flush(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    build(instance, "weather")
    with loaded(instance) as tick:
        assert evaluated(tick())["books_balance"] is True
        # As the web server does it, which asks for no more than a partition and a description.
        instance.report_runless_asset_event(dg.AssetMaterialization(asset_key("weather"), partition="2013-01-02"))
        [found] = [event for event in tick().asset_events if event.check_name == "books_balance"]
        assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert found.metadata["problems"].value == 1
        assert found.description.startswith("- the newest materialization, of partition 2013-01-02, was reported")
        staging.enqueue("weather", hourly(3))
        build(instance, "weather")
        assert evaluated(tick())["books_balance"] is True


def test_a_dataset_that_is_new_is_named(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    with loaded(instance) as tick:
        staging.enqueue("weather", hourly(3))
        decided = tick()
    assert decided.asset_events == []
    assert decided.skip_message.endswith("reload the definitions to see 1 new or changed: weather")


def test_data_outside_the_known_range_is_named(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    build(instance, "weather")
    with loaded(instance) as tick:
        assert "every dataset is an asset" in tick().skip_message
        old = datetime(1999, 5, 1, tzinfo=UTC)
        staging.enqueue("weather", [{"ts": old, "n": 9}])
        build(instance, "weather")
        assert "1 new or changed: weather" in tick().skip_message


CHANGED = [
    {"description": "Hourly weather."},
    {"owners": ["team:meteorology"]},
    {"upstream": ["raw/readings"]},
    {"staging": {"flush": {"max_rows": 7}}},
]


@pytest.mark.parametrize("metadata", CHANGED)
def test_metadata_that_the_page_does_not_show_yet_are_named(
    metadata: dict[str, Any], staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    with loaded(instance) as tick:
        timestore.set_metadata("weather", metadata)
        assert "1 new or changed: weather" in tick().skip_message


def test_a_column_that_the_page_does_not_show_yet_is_named(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    with loaded(instance) as tick:
        staging.enqueue("weather", [{"ts": datetime(2013, 1, 1, tzinfo=UTC), "n": 9, "gust": 1.5}])
        assert "1 new or changed: weather" in tick().skip_message


def test_what_a_page_shows_is_named_no_more_however_it_is_written(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    """Or the definitions would be loaded again and again."""
    description = "\n  Of two lines,\n    one of them indented. \n\n"
    owners = ["team:b", "a@example.com", "team:b"]
    timestore.set_metadata("weather", {"description": description, "owners": owners, "upstream": ["raw/b", "a"]})
    timestore.set_metadata("declared", {"schema": {"columns": {"n": "int64"}}})
    staging.enqueue("weather", [{"ts": datetime(2013, 1, 1, tzinfo=UTC), "stops": [{"n": 1}], "a b": None}])
    with loaded(instance) as tick:
        assert "every dataset is an asset" in tick().skip_message


def test_the_web_server_is_asked_once_for_the_same_datasets(
    staging: StagingManager, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loaded(instance) as tick, serving() as server:
        monkeypatch.setenv("TIMESTORE_DAGSTER_WEBSERVER_URL", server.url)
        assert tick().cursor
        assert server.asked == []
        staging.enqueue("weather", hourly(3))
        first = tick()
        tick(first.cursor)
        assert len(server.asked) == 1


def test_further_datasets_are_asked_for_after_a_minute_and_the_same_after_ten(
    staging: StagingManager, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()

    def later(**time: float) -> None:
        monkeypatch.setattr("timestore_pipeline.defs.watch.clock.now", lambda: now + timedelta(**time))

    with loaded(instance) as tick, serving() as server:
        monkeypatch.setenv("TIMESTORE_DAGSTER_WEBSERVER_URL", server.url)
        staging.enqueue("weather", hourly(3))
        cursor = tick().cursor
        later(minutes=2)
        cursor = tick(cursor).cursor
        assert len(server.asked) == 1
        staging.enqueue("flights", hourly(3))
        cursor = tick(cursor).cursor
        assert len(server.asked) == 2
        later(minutes=13)
        tick(cursor)
        assert len(server.asked) == 3


def test_a_dataset_that_takes_the_place_of_others_is_asked_for_after_a_minute(
    staging: StagingManager, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a tick in between at which every dataset was shown."""
    now = clock.now()
    with serving() as server:
        monkeypatch.setenv("TIMESTORE_DAGSTER_WEBSERVER_URL", server.url)
        with loaded(instance) as tick:
            staging.enqueue("weather", hourly(3))
            staging.enqueue("flights", hourly(3))
            cursor = tick().cursor
        with loaded(instance) as tick:
            staging.enqueue("ships", hourly(3))
            monkeypatch.setattr("timestore_pipeline.defs.watch.clock.now", lambda: now + timedelta(minutes=1.5))
            tick(cursor)
        assert len(server.asked) == 2


def test_a_web_server_that_is_down_does_not_break_the_tick(
    staging: StagingManager, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_DAGSTER_WEBSERVER_URL", "http://127.0.0.1:9")
    with loaded(instance) as tick:
        staging.enqueue("weather", hourly(3))
        assert "1 new or changed" in tick().skip_message


def test_a_web_server_that_was_down_is_asked_again_after_a_minute(
    staging: StagingManager, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setenv("TIMESTORE_DAGSTER_WEBSERVER_URL", "http://127.0.0.1:9")
    with loaded(instance) as tick, serving() as server:
        staging.enqueue("weather", hourly(3))
        cursor = tick().cursor
        monkeypatch.setenv("TIMESTORE_DAGSTER_WEBSERVER_URL", server.url)
        monkeypatch.setattr("timestore_pipeline.defs.watch.clock.now", lambda: now + timedelta(minutes=1.5))
        tick(cursor)
        assert len(server.asked) == 1
