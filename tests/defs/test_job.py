"""`partition_build`: what it publishes, what it reports, how one dataset's trouble stays its own."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from tests.defs.flushing import START, build, failure_of, hourly, job, logged, published, run_config
from timestore_pipeline import StagingManager
from timestore_pipeline.model.flush import FlushState, Trigger
from timestore_pipeline.staging.journal import JournalReader
from timestore_pipeline.staging.journal_records import Record
from timestore_pipeline.staging.ledger.journals import RecordPlace
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


def test_a_run_publishes_every_requested_backlog(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(5))
    staging.enqueue("flights", hourly(3))
    assert build(instance, "weather", "flights").success
    assert (published(timestore, "weather"), published(timestore, "flights")) == ([0, 1, 2, 3, 4], [0, 1, 2])


def test_trigger_and_run_id_go_into_the_history(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(5))
    run = build(instance, {"dataset": "weather", "trigger": "rows"})
    [flush] = timestore.area.ledger.flushes.history("weather")
    assert (flush.trigger, flush.run_id) == (Trigger.ROWS, run.run_id)


def test_a_dataset_with_nothing_staged_is_no_failure(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(1))
    assert build(instance, "weather").success
    again = build(instance, "weather")
    assert again.success
    assert "weather: nothing to claim" in logged(instance, again.run_id)


def test_a_live_flush_of_the_same_dataset_is_left_alone(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(1))
    assert timestore.pipeline.claim("weather", Trigger.MANUAL, "someone else").ref is not None
    run = build(instance, "weather")
    assert run.success
    assert "weather: skipped" in logged(instance, run.run_id)


def test_one_dataset_that_fails_does_not_keep_another_from_being_published(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, home: Path
) -> None:
    staging.enqueue("blocked", hourly(2))
    staging.enqueue("weather", hourly(3))
    _block_table(home, "blocked")
    run = build(instance, "blocked", "weather")
    assert not run.success
    assert published(timestore, "weather") == [0, 1, 2]


def test_a_failed_run_names_every_failed_dataset_with_its_code(
    staging: StagingManager, instance: dg.DagsterInstance, home: Path
) -> None:
    for dataset in ("blocked", "barred", "weather"):
        staging.enqueue(dataset, hourly(1))
    _block_table(home, "blocked")
    _block_table(home, "barred")
    message = failure_of(build(instance, "blocked", "barred", "weather"), "finalize_flushes")
    assert "2 of 3 datasets were not flushed" in message
    assert "- blocked (" in message
    assert "- barred (" in message


def test_what_a_failed_dataset_had_staged_is_pending_again(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, home: Path
) -> None:
    staging.enqueue("blocked", hourly(2))
    _block_table(home, "blocked")
    build(instance, "blocked")
    assert timestore.status("blocked").backlog.pending.rows == 2
    (home / "lake" / "blocked").unlink()
    assert build(instance, "blocked").success
    assert published(timestore, "blocked") == [0, 1]


def test_a_journal_that_cannot_be_read_is_named_in_the_log(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.enqueue("weather", hourly(1))
    [stuck] = timestore.area.directory.journal_files()
    with timestore.staging() as other:
        other.enqueue("weather", hourly(1, 1))
    read = JournalReader.read

    def failing(self: JournalReader, place: RecordPlace, dataset: str) -> tuple[Record, dict[str, pa.Table]]:
        if place.journal_id == stuck.stem:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(self, place, dataset)

    with monkeypatch.context() as patch:
        patch.setattr(JournalReader, "read", failing)
        run = build(instance, "weather")
    assert run.success
    log = logged(instance, run.run_id)
    assert "1 batches stay pending: reading or writing failed" in log
    assert str(stuck) in log
    assert published(timestore, "weather") == [1]
    assert build(instance, "weather").success
    assert published(timestore, "weather") == [0, 1]


def test_an_interrupted_flush_is_settled_and_said_so(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(2))
    with Timestore(timestore.settings) as worker:
        worker.pipeline.claim("weather", Trigger.AGE, "vanished-run")
    run = build(instance, "weather")
    assert run.success
    assert "interrupted epoch 1 of run vanished-run is aborted now" in logged(instance, run.run_id)
    assert published(timestore, "weather") == [0, 1]


def test_a_flush_interrupted_after_its_commit_is_reported_by_the_run_that_finds_it(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(2))
    with Timestore(timestore.settings) as worker:
        ref = worker.pipeline.claim("weather", Trigger.AGE, "vanished-run").ref
        assert ref is not None
        worker.pipeline.export(ref, worker.export_options())
        worker.pipeline.publish(ref)
    run = build(instance, "weather")
    *_, event = run.asset_materializations_for_node("claim_backlogs")
    assert event.metadata["rows"].value == 2
    assert published(timestore, "weather") == [0, 1]


def test_a_materialization_carries_the_numbers_of_the_flush(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, home: Path
) -> None:
    staging.enqueue("weather", hourly(24))
    staging.enqueue("weather", hourly(1, first=24))
    run = build(instance, {"dataset": "weather", "trigger": "age"})
    *_, event = run.asset_materializations_for_node("finalize_flushes")
    values = {name: entry.value for name, entry in event.metadata.items()}
    assert event.asset_key == dg.AssetKey(["timestore", "weather"])
    assert (values["rows"], values["batches"], values["files"], values["epoch"]) == (25, 2, 2, 1)
    assert (values["trigger"], values["run_id"]) == ("age", run.run_id)
    assert values["table_uri"] == str(home / "lake" / "weather")
    assert values["delta_version"] == timestore.area.ledger.flushes.history("weather")[0].version
    assert values["min_time"] == START.timestamp()
    assert values["max_time"] == (START + timedelta(hours=24)).timestamp()
    complete_until = values["complete_until"]
    assert isinstance(complete_until, float)
    assert clock.now().timestamp() - 600 < complete_until <= clock.now().timestamp()


def test_amounts_and_durations_are_numbers_that_plot(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(30))
    *_, event = build(instance, "weather").asset_materializations_for_node("finalize_flushes")
    plotted = (dg.IntMetadataValue, dg.FloatMetadataValue)
    numbers = {name for name, entry in event.metadata.items() if isinstance(entry, plotted)}
    amounts = {"rows", "batches", "bytes", "files", "file_bytes", "epoch", "delta_version"}
    assert numbers == amounts | {"duration_seconds", "freshness_lag_seconds"}


def test_a_dataset_without_a_time_column_has_no_time_range(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("names", hourly(2).drop_columns(["ts"]))
    [event] = build(instance, "names").asset_materializations_for_node("finalize_flushes")
    assert "min_time" not in event.metadata
    assert event.metadata["rows"].value == 2


def test_every_partition_of_a_flush_is_marked_and_the_flush_itself_comes_last(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(30))
    events = build(instance, "weather").asset_materializations_for_node("finalize_flushes")
    assert [event.partition for event in events] == ["2013-01-01", "2013-01-02", None]
    assert [event.metadata["partition_rows"].value for event in events[:-1]] == [24, 6]
    assert {event.metadata["shard"].value for event in events} == {"shard-0"}
    assert instance.get_materialized_partitions(events[0].asset_key) == {"2013-01-01", "2013-01-02"}


def test_a_flush_into_one_partition_says_everything_in_one_event(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(2))
    [event] = build(instance, "weather").asset_materializations_for_node("finalize_flushes")
    assert event.partition == "2013-01-01"
    assert (event.metadata["rows"].value, event.metadata["partition_rows"].value) == (2, 2)
    assert instance.get_materialized_partitions(event.asset_key) == {"2013-01-01"}


def test_a_flush_of_very_many_partitions_marks_the_newest_and_says_so(
    staging: StagingManager, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timestore_pipeline.defs.events.MOST_MARKED", 1)
    staging.enqueue("weather", hourly(60))
    *marks, whole = build(instance, "weather").asset_materializations_for_node("finalize_flushes")
    assert [mark.partition for mark in marks] == ["2013-01-03"]
    assert "the oldest 2 of 3 partitions are not marked" in (whole.description or "")


def test_ops_hand_over_small_plain_values(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(2))
    handed = build(instance, "weather").output_for_node("claim_backlogs")
    written = {"compression": "zstd", "compression_level": 0, "row_group_size": 122_880, "sort_by": []}
    settings = {"max_rows": 1_000_000, "max_bytes": 134_217_728, "max_age_ms": 60_000, **written}
    assert handed == {
        "flushes": [
            {"dataset": "weather", "epoch": 1, "settings": settings, "version": None, "bytes": 32, "alone": False}
        ],
        "failures": [],
    }


def test_an_interruption_gives_every_claim_back_at_once(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.enqueue("flights", hourly(2))
    staging.enqueue("weather", hourly(3))
    with monkeypatch.context() as patched:
        patched.setattr("timestore_pipeline.flush.export_with_quarantine.export_claim", _terminated)
        with pytest.raises(dg.DagsterExecutionInterruptedError):
            job().execute_in_process(run_config("flights", "weather"), instance=instance)
    states = {flush.dataset: flush.state for flush in timestore.area.ledger.flushes.history()}
    assert states == {"flights": FlushState.ABORTED, "weather": FlushState.ABORTED}
    assert build(instance, "flights", "weather").success
    assert (published(timestore, "flights"), published(timestore, "weather")) == ([0, 1], [0, 1, 2])


def test_an_interruption_right_after_the_ledger_has_the_claim_gives_it_back_too(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.enqueue("weather", hourly(3))
    monkeypatch.setattr("timestore_pipeline.staging.lease.HeldClaims.add", _terminated)
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        job().execute_in_process(run_config("weather"), instance=instance)
    backlog = timestore.status("weather").backlog
    assert (backlog.pending.rows, backlog.in_flight.rows) == (3, 0)


def _terminated(*_arguments: object) -> None:
    raise dg.DagsterExecutionInterruptedError


def _block_table(home: Path, dataset: str) -> None:
    """A file where the table's folder should be; unlike permissions it also stops root."""
    (home / "lake").mkdir(exist_ok=True)
    (home / "lake" / dataset).write_text("not a table")


def test_the_launchpads_suggestion_flushes_the_datasets_that_wait(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    staging.enqueue("flights", hourly(2))
    assert job().execute_in_process(instance=instance).success
    assert (published(timestore, "weather"), published(timestore, "flights")) == ([0, 1, 2], [0, 1])
