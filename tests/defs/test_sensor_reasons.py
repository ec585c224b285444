"""Every reason to launch and every reason not to, from a real backlog through a tick of `staging_flush_sensor`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from tests.defs.flushing import hourly
from tests.defs.ticking import tick
from timestore_pipeline import StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

OFF = {"maxRows": 0, "maxBytes": 0, "maxAgeMs": 0}
FAR = {"maxRows": 1_000, "maxBytes": 0, "maxAgeMs": 0}


@pytest.fixture
def waiting(staging: StagingManager, timestore: Timestore) -> Timestore:
    """Three rows below every limit."""
    _limit(timestore, FAR)
    staging.enqueue("weather", hourly(3))
    return timestore


def _limit(timestore: Timestore, limits: Mapping[str, int], dataset: str = "weather") -> None:
    timestore.set_metadata(dataset, {"staging": {"flush": dict(limits)}})


def _triggers(decided: Any) -> list[str]:
    return [request.tags["timestore/trigger"] for request in decided.run_requests]


@pytest.mark.parametrize(
    ("limits", "trigger"),
    [
        ({**OFF, "maxRows": 3}, "rows"),
        ({**OFF, "maxBytes": 1}, "bytes"),
        ({**OFF, "maxAgeMs": 1}, "age"),
        (OFF, "age"),  # without any limit every backlog is due
    ],
)
def test_each_limit_launches_under_its_own_name(
    waiting: Timestore, instance: dg.DagsterInstance, limits: dict[str, int], trigger: str
) -> None:
    _limit(waiting, limits)
    assert _triggers(tick(instance)) == [trigger]


@pytest.mark.parametrize("variable", ["TIMESTORE_STAGING_MAX_DATASET_BYTES", "TIMESTORE_STAGING_MAX_TOTAL_BYTES"])
def test_a_guardrail_launches_whatever_the_limits_say(
    waiting: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_BYTES", "0")
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_DATASET_BYTES", "0")
    monkeypatch.setenv(variable, "1")
    assert _triggers(tick(instance)) == ["guardrail"]


def test_a_clock_that_was_set_back_launches(
    waiting: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limit(waiting, {**OFF, "maxAgeMs": 60_000})
    yesterday = clock.now() - timedelta(days=1)
    monkeypatch.setattr("timestore_pipeline.wiring.clock.now", lambda: yesterday)
    assert _triggers(tick(instance)) == ["age"]


def test_a_flush_in_flight_is_left_to_its_process(waiting: Timestore, instance: dg.DagsterInstance) -> None:
    _limit(waiting, {**OFF, "maxRows": 1})
    assert waiting.pipeline.claim("weather", Trigger.MANUAL, "an operator at a terminal").ref is not None
    assert tick(instance).run_requests == []


def test_an_operators_request_passes_a_pause(waiting: Timestore, instance: dg.DagsterInstance) -> None:
    waiting.area.ledger.datasets.set_paused("weather", True)
    assert tick(instance).run_requests == []
    waiting.area.ledger.datasets.request_flush("weather")
    assert _triggers(tick(instance)) == ["manual"]


def test_a_dataset_is_paused_and_resumed_in_its_metadata(waiting: Timestore, instance: dg.DagsterInstance) -> None:
    due = {"flush": {**OFF, "maxRows": 1}}
    waiting.set_metadata("weather", {"staging": {**due, "paused": True}})
    assert "weather: flushes are paused" in tick(instance).skip_message
    waiting.set_metadata("weather", {"staging": due})
    assert _triggers(tick(instance)) == ["rows"]


def test_the_most_urgent_dataset_comes_first_and_names_the_run(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    for dataset in ("early", "late", "wanted"):
        _limit(timestore, {**OFF, "maxRows": 1}, dataset)
        staging.enqueue(dataset, hourly(1))
    timestore.area.ledger.datasets.request_flush("wanted")
    [request] = tick(instance).run_requests
    flushes = request.run_config["ops"]["claim_backlogs"]["config"]["flushes"]
    assert [flush["dataset"] for flush in flushes] == ["wanted", "early", "late"]
    assert request.tags["timestore/trigger"] == "manual"
