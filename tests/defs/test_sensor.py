"""`staging_flush_sensor`: what it launches, what it says when it does not, what it leaves behind."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from tests.defs.flushing import build, hourly, job, published
from tests.defs.ticking import run_in, tick
from tests.monitoring.telemetry.gateway import listening
from timestore_pipeline import StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.model.thresholds import LONGEST_BACKOFF
from timestore_pipeline.monitoring.telemetry import push
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK, flush_failures
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


def limits(timestore: Timestore, dataset: str, **limits: int) -> None:
    timestore.set_metadata(dataset, {"staging": {"flush": limits}})


def test_nothing_staged_launches_nothing(timestore: Timestore, instance: dg.DagsterInstance) -> None:
    decided = tick(instance)
    assert decided.run_requests == []
    assert decided.skip_message == "nothing is staged"


def test_a_dataset_below_every_limit_waits_and_the_tick_says_for_what(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    limits(timestore, "weather", maxRows=100, maxBytes=0, maxAgeMs=0)
    staging.enqueue("weather", hourly(3))
    decided = tick(instance)
    assert decided.skip_message == "1 dataset waits: weather: below every threshold: 3 of 100 rows"


def test_a_backlog_over_a_limit_is_launched_with_its_trigger(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    limits(timestore, "weather", maxRows=3)
    staging.enqueue("weather", hourly(3))
    [request] = tick(instance).run_requests
    assert request.run_config["ops"]["claim_backlogs"]["config"]["flushes"] == [
        {"dataset": "weather", "trigger": "rows", "overrides": {"max_rows": 3}}
    ]
    ours = {name: value for name, value in request.tags.items() if name.startswith("timestore/")}
    assert ours == {"timestore/shard": "shard-0", "timestore/trigger": "rows", "timestore/datasets": "shard-0/weather"}


def test_what_the_sensor_asks_for_is_what_the_job_accepts(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    limits(timestore, "weather", maxRows=3)
    staging.enqueue("weather", hourly(3))
    [request] = tick(instance).run_requests
    assert job().execute_in_process(request.run_config, instance=instance).success
    assert published(timestore, "weather") == [0, 1, 2]


def test_a_silent_dataset_is_flushed_for_its_age(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    limits(timestore, "weather", maxAgeMs=1)
    staging.enqueue("weather", hourly(3))
    [request] = tick(instance).run_requests
    assert request.tags["timestore/trigger"] == "age"


def test_a_manual_request_is_picked_up(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    timestore.area.ledger.datasets.request_flush("weather")
    [request] = tick(instance).run_requests
    assert request.tags["timestore/trigger"] == "manual"


def test_a_paused_dataset_is_not_launched(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    limits(timestore, "weather", maxRows=1)
    staging.enqueue("weather", hourly(3))
    timestore.area.ledger.datasets.set_paused("weather", True)
    assert "weather: flushes are paused" in tick(instance).skip_message


def test_a_dataset_whose_flush_just_failed_waits_for_its_next_try(
    staging: StagingManager,
    timestore: Timestore,
    instance: dg.DagsterInstance,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flush_failures, "_RETRY_FIRST", LONGEST_BACKOFF)  # the run may take longer than the usual wait
    limits(timestore, "weather", maxRows=1)
    staging.enqueue("weather", hourly(3))
    (home / "lake").mkdir()
    (home / "lake" / "weather").write_text("not a table")
    assert not build(instance, "weather").success
    assert "weather: failures in a row: 1" in tick(instance).skip_message


def test_a_claim_whose_process_is_gone_is_launched_again(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    with Timestore(timestore.settings) as worker:
        worker.pipeline.claim("weather", Trigger.AGE, "killed")
    [request] = tick(instance).run_requests
    assert request.tags["timestore/datasets"] == "shard-0/weather"


def test_a_dataset_in_a_queued_run_is_not_launched_again(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    limits(timestore, "weather", maxRows=1)
    staging.enqueue("weather", hourly(3))
    run = run_in(instance, dg.DagsterRunStatus.QUEUED, "weather", since=clock.now() - timedelta(hours=1))
    assert tick(instance).skip_message == f"1 dataset waits: weather is in run {run[:8]} already"


def test_a_failed_run_does_not_strand_the_backlog(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    limits(timestore, "weather", maxRows=1)
    staging.enqueue("weather", hourly(3))
    [first] = tick(instance).run_requests
    [second] = tick(instance).run_requests
    assert first.run_key != second.run_key


def test_every_run_of_a_tick_has_a_key_of_its_own(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_RUN_MAX_DATASETS", "1")
    for dataset in ("a", "b", "c"):
        limits(timestore, dataset, maxRows=1)
        staging.enqueue(dataset, hourly(1))
    requests = tick(instance).run_requests
    assert len({request.run_key for request in requests}) == 3


def test_long_lists_of_datasets_are_cut_in_the_tag_and_whole_in_the_configuration(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    names = [f"{'x' * 60}{number}" for number in range(9)]
    for dataset in names:
        limits(timestore, dataset, maxRows=1)
        staging.enqueue(dataset, hourly(1))
    [request] = tick(instance).run_requests
    tag = request.tags["timestore/datasets"]
    assert len(tag) <= 255
    assert tag.removeprefix("shard-0/").split(",") == [*names[:3], "+6"]
    assert len(request.run_config["ops"]["claim_backlogs"]["config"]["flushes"]) == 9


def test_every_tick_leaves_a_heartbeat_in_the_ledger(timestore: Timestore, instance: dg.DagsterInstance) -> None:
    assert timestore.area.ledger.get_meta(SENSOR_LAST_TICK) is None
    before = clock.to_micros(clock.now())
    tick(instance)
    assert int(timestore.area.ledger.get_meta(SENSOR_LAST_TICK) or 0) >= before


def test_a_dead_gateway_does_not_break_the_tick(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_PUSHGATEWAY_URL", "http://127.0.0.1:9")
    limits(timestore, "weather", maxRows=1)
    staging.enqueue("weather", hourly(3))
    assert len(tick(instance).run_requests) == 1


def test_a_tick_that_launches_does_not_wait_for_a_gateway(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's hooks push soon; a tick with nothing to launch has the time."""
    monkeypatch.setenv("TIMESTORE_METRICS_PUSH_INTERVAL_MS", "0")
    monkeypatch.setattr(push, "_OVERDUE", timedelta(hours=1))  # longer than any test takes
    with listening() as gateway:
        monkeypatch.setenv("TIMESTORE_PUSHGATEWAY_URL", gateway.url)
        tick(instance)
        limits(timestore, "weather", maxRows=1)
        staging.enqueue("weather", hourly(3))
        assert len(tick(instance).run_requests) == 1
        assert len(gateway.requests) == 1
        timestore.flush("weather", Trigger.MANUAL, "test")
        tick(instance)
        assert len(gateway.requests) == 2


def test_a_broken_ledger_fails_the_tick_by_name(home: Path, instance: dg.DagsterInstance) -> None:
    (home / "staging").mkdir(parents=True)
    (home / "staging" / "ledger.sqlite").write_text("this is no database, in spite of its name\n" * 50)
    with pytest.raises(dg.DagsterResourceFunctionError) as raised:
        tick(instance)
    assert "ledger.sqlite" in str(raised.value.user_exception)


def test_a_ledger_of_another_shard_fails_the_tick_by_name(
    timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_SHARD", "north")
    with pytest.raises(dg.DagsterResourceFunctionError) as raised:
        tick(instance)
    assert "belongs to shard 'shard-0', not to 'north'" in str(raised.value.user_exception)


def test_the_tick_frees_the_staging_directory(timestore: Timestore, instance: dg.DagsterInstance, home: Path) -> None:
    tick(instance)
    mine = timestore.area.identity.process_id
    assert [path.stem for path in (home / "staging" / "processes").iterdir()] == [mine]
