"""Re-execution from any op, in any process: finds what the run before handed over, and is refused when that is over."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from tests.defs.flushing import build, hourly, logged, published, run_config
from timestore_pipeline import StagingManager
from timestore_pipeline.definitions import defs
from timestore_pipeline.flush.pipeline import FlushPipeline
from timestore_pipeline.model.flush import FlushState, Trigger
from timestore_pipeline.wiring import Timestore

OPS = ["claim_backlogs", "export_partitions", "publish_tables", "finalize_flushes"]
PHASES = ["claim", "export", "publish", "finalize"]


def partition_build() -> dg.JobDefinition:
    """Importable by name: a re-executed run loads its job anew."""
    return defs().resolve_job_def("partition_build")


def cut_off(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, done: int) -> str:
    """A run whose worker is gone after `done` ops; its id."""

    def killed(*_arguments: object) -> None:
        raise dg.DagsterExecutionInterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(FlushPipeline, PHASES[done], killed)
        patched.setattr(FlushPipeline, "give_back", lambda _: None)  # a worker that is killed gets to nothing
        run = dg.execute_job(dg.reconstructable(partition_build), instance, run_config=run_config("weather"))
    assert not run.success
    return run.run_id


def go_on(instance: dg.DagsterInstance, run_id: str, done: int) -> dg.JobExecutionResult:
    """Re-execute a run from the op after the first `done` ones."""
    options = dg.ReexecutionOptions(run_id, step_selection=OPS[done:])
    job = dg.reconstructable(partition_build)
    return dg.execute_job(job, instance, run_config=run_config("weather"), reexecution_options=options)


def error_of(instance: dg.DagsterInstance, run: dg.JobExecutionResult) -> str:
    return "\n".join(
        event.step_failure_data.error.to_string()
        for event in run.all_events
        if event.is_step_failure and event.step_failure_data.error
    )


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_run_that_was_cut_off_is_finished_from_the_op_it_did_not_reach(
    staging: StagingManager,
    timestore: Timestore,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    done: int,
) -> None:
    staging.enqueue("weather", hourly(4))
    run_id = cut_off(instance, monkeypatch, done)
    assert go_on(instance, run_id, done).success
    assert published(timestore, "weather") == [0, 1, 2, 3]
    [flush] = timestore.area.ledger.flushes.history("weather")
    assert (flush.state, flush.epoch) == (FlushState.PUBLISHED, 1)


def test_a_run_that_is_terminated_between_two_ops_gives_its_claim_back_at_once(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminated(*_arguments: object) -> None:
        raise dg.DagsterExecutionInterruptedError

    staging.enqueue("weather", hourly(4))
    monkeypatch.setattr(FlushPipeline, "publish", terminated)
    assert not dg.execute_job(dg.reconstructable(partition_build), instance, run_config=run_config("weather")).success
    backlog = timestore.status("weather").backlog
    assert (backlog.pending.rows, backlog.in_flight.rows) == (4, 0)


def test_publishing_a_flush_that_was_settled_meanwhile_is_fenced(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.enqueue("weather", hourly(4))
    run_id = cut_off(instance, monkeypatch, 2)
    timestore.flush("weather", Trigger.MANUAL, "cli")  # settles epoch 1, publishes its batches as epoch 2
    again = go_on(instance, run_id, 2)
    assert not again.success
    assert "weather (fenced): flush 1 of dataset 'weather' is aborted already" in error_of(instance, again)
    assert published(timestore, "weather") == [0, 1, 2, 3]


def test_exporting_a_flush_that_is_published_is_fenced(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(4))
    whole = build(instance, "weather")
    again = go_on(instance, whole.run_id, 1)
    assert "weather (fenced): flush 1 of dataset 'weather' is published already" in error_of(instance, again)
    assert published(timestore, "weather") == [0, 1, 2, 3]


def test_finalizing_again_changes_nothing_and_reports_nothing_twice(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(4))
    whole = build(instance, "weather")
    again = go_on(instance, whole.run_id, 3)
    assert again.success
    assert "weather: epoch 1 was final already" in logged(instance, again.run_id)
    assert not [event for event in again.all_events if event.is_step_materialization]


def test_a_failed_run_re_executed_from_failure_says_that_the_flush_is_over(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, home: Path
) -> None:
    staging.enqueue("weather", hourly(4))
    (home / "lake").mkdir()
    (home / "lake" / "weather").write_text("not a table")
    failed = build(instance, "weather")
    (home / "lake" / "weather").unlink()
    options = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
    again = dg.execute_job(dg.reconstructable(partition_build), instance, reexecution_options=options)
    assert not again.success
    assert timestore.status("weather").backlog.pending.rows == 4


def test_an_op_launched_on_its_own_says_that_nothing_was_handed_over(
    staging: StagingManager, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.enqueue("weather", hourly(4))
    again = go_on(instance, cut_off(instance, monkeypatch, 1), 2)
    assert not again.success
    assert "export_partitions handed nothing over" in error_of(instance, again)
