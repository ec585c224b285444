"""Every flush that ends is one log line, with how long each phase took, whoever ends it and however."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.flush.conftest import hourly
from tests.flush.dying import flush_dying
from tests.services.forked import run_forked
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import FlushInFlight, RetryLater
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.flush import FlushRef, Phase, Trigger
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.staging.ledger.flush_rows import Phases
from timestore_pipeline.system.legible import LogEvent
from timestore_pipeline.wiring import Timestore

Told = Callable[[], list[LogEvent]]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """The events logged so far."""
    caplog.set_level(logging.INFO, "timestore_pipeline")

    def events() -> list[LogEvent]:
        arguments = [record.args for record in caplog.records]
        return [args[0] for args in arguments if isinstance(args, tuple) and args and isinstance(args[0], LogEvent)]

    return events


def durations(event: LogEvent) -> dict[str, Any]:
    """Phase -> seconds."""
    return {phase.value: event.fields[f"{phase}_seconds"] for phase in Phase if f"{phase}_seconds" in event.fields}


def away(*_arguments: object, **_options: object) -> None:
    raise RetryLater("the lake is away", dataset="d", hint="wait for it")


def test_a_published_flush(staging: StagingManager, timestore: Timestore, told: Told) -> None:
    staging.enqueue("d", hourly(30))
    flush = timestore.flush("d", Trigger.MANUAL, "run")
    assert flush is not None
    [event] = told()
    expected = {"dataset": "d", "epoch": 1, "trigger": "manual", "run_id": "run", "outcome": "published", "rows": 30}
    assert event.name == "flush published"
    assert expected.items() <= event.fields.items()
    assert (event.fields["files"], event.fields["bytes"]) == (flush.files, flush.volume.bytes)
    assert list(durations(event)) == ["claim", "export", "publish", "finalize"]
    assert sum(durations(event).values()) <= float(event.fields["seconds"]) + durations(event)["claim"]


def test_a_phase_that_fails_has_lasted_until_it_failed(
    staging: StagingManager, timestore: Timestore, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.enqueue("d", hourly(3))
    monkeypatch.setattr(LakeTable, "write", away)
    with pytest.raises(RetryLater):
        timestore.flush("d", Trigger.ROWS, "run")
    [event] = told()
    assert event.name == "flush aborted"
    assert list(durations(event)) == ["claim", "export"]
    why = {"outcome": "aborted", "reason": "retry_later", "code": "retry_later", "hint": "wait for it"}
    assert why.items() <= event.fields.items()


def test_a_flush_that_cannot_be_ended_is_told_too(
    staging: StagingManager, timestore: Timestore, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.enqueue("d", hourly(3))
    with monkeypatch.context() as broken:
        broken.setattr(LakeTable, "publish", away)
        broken.setattr(LakeTable, "burn", away)
        with pytest.raises(RetryLater):
            timestore.flush("d", Trigger.MANUAL, "run")
    assert [event.name for event in told()] == ["flush unsettled"]
    timestore.flush("d", Trigger.MANUAL, "again")
    assert [event.name for event in told()[1:]] == ["flush aborted", "flush published"]
    assert list(durations(told()[1])) == ["claim", "export", "publish"]


def test_phases_in_processes_of_their_own_keep_their_durations(
    staging: StagingManager, timestore: Timestore, settings: Settings, told: Told
) -> None:
    staging.enqueue("d", hourly(3))
    ref = claim_in_a_process_that_ends(settings)
    timestore.pipeline.export(ref, timestore.export_options())
    version = timestore.pipeline.publish(ref)
    timestore.pipeline.finalize(ref, version)
    assert list(durations(told()[-1])) == ["claim", "export", "publish", "finalize"]


def claim_in_a_process_that_ends(settings: Settings) -> FlushRef:
    with Timestore(settings) as other:
        ref = other.pipeline.claim("d", Trigger.MANUAL, "other").ref
    assert ref is not None
    return ref


def test_a_claim_that_is_another_flushs_is_no_warning(
    staging: StagingManager, timestore: Timestore, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    staging.enqueue("d", hourly(3))
    assert timestore.pipeline.claim("d", Trigger.MANUAL, "first").ref is not None
    with pytest.raises(FlushInFlight):
        timestore.pipeline.claim("d", Trigger.MANUAL, "second")
    assert [(event.name, event.fields["code"]) for event in told()] == [("flush not claimed", "flush_in_flight")]
    assert "WARNING" not in {record.levelname for record in caplog.records}


def test_instants_that_cannot_be_written_cost_no_flush(
    staging: StagingManager, timestore: Timestore, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Phases, "_set", away)
    staging.enqueue("d", hourly(3))
    assert timestore.flush("d", Trigger.MANUAL, "run") is not None
    assert [durations(event) for event in told()] == [{}]


def test_an_export_done_again_keeps_what_the_first_took(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(3))
    ref = timestore.pipeline.claim("d", Trigger.MANUAL, "run").ref
    assert ref is not None
    first = timestore.pipeline.export(ref, timestore.export_options())
    assert timestore.pipeline.export(ref, timestore.export_options()).phases == first.phases


def test_a_process_that_does_not_hold_the_claim_writes_no_instants(
    staging: StagingManager, timestore: Timestore, settings: Settings
) -> None:
    staging.enqueue("d", hourly(3))
    ref = timestore.pipeline.claim("d", Trigger.MANUAL, "run").ref
    assert ref is not None
    with Timestore(settings) as other, pytest.raises(FlushInFlight):
        other.pipeline.export(ref, other.export_options())
    assert list(timestore.area.ledger.flushes.get(ref).phases) == ["claim"]


@pytest.mark.parametrize(("point", "outcome"), [("record export", "aborted"), ("delta commit", "published")])
def test_a_flush_that_was_killed_is_told_once_by_who_settles_it(
    settings: Settings, told: Told, point: str, outcome: str
) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", hourly(30))
    assert run_forked(flush_dying, settings.home, point, "after", "d") == -signal.SIGKILL
    with Timestore(settings) as store:
        recover(store.area, store.lake)
        recover(store.area, store.lake)
    [event] = [event for event in told() if event.name.startswith("flush ")]
    expected = {"dataset": "d", "epoch": 1, "run_id": "dying", "outcome": outcome, "batches": 1, "rows": 30}
    assert expected.items() <= event.fields.items()
    assert "claim" in durations(event)
