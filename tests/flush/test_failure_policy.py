"""A failure that only a person can mend: said once, with the remedy, and not tried again before something changes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from tests.flush.conftest import hourly, published
from tests.staging.rolled import roll_up_all
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import (
    AccessDenied,
    InvalidMetadata,
    LedgerIncomplete,
    RetryLater,
    SchemaConflict,
    UnreadableTable,
)
from timestore_pipeline.flush import failure_policy
from timestore_pipeline.lake import faults
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.model.thresholds import LONGEST_BLOCK
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.staging.ledger.flushes import Flushes
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


@pytest.fixture
def blocked(settings: Settings, staging: StagingManager, timestore: Timestore) -> Timestore:
    """Somebody else's table lies where the dataset's should be."""
    staging.enqueue("d", hourly(3))
    timestore.area.ledger.datasets.request_flush("d")
    write_deltalake(f"{settings.lake_uri}/d", pa.table({"n": ["not ours"]}))
    with pytest.raises(SchemaConflict):
        timestore.flush("d", Trigger.MANUAL, "run")
    return timestore


def reason(timestore: Timestore) -> str:
    decision = timestore.status("d").decision
    assert not decision.due
    return decision.reason


def test_it_is_not_due_and_says_why_and_what_to_do(blocked: Timestore) -> None:
    told = reason(blocked)
    assert told.startswith("blocked: ")
    assert told.endswith("; then `timestore flush d`")
    block = blocked.status("d").backlog.block
    assert block is not None
    assert block.code == "schema_conflict"
    assert block.hint in told


def test_a_request_is_one_more_try(blocked: Timestore) -> None:
    blocked.request_flush("d")
    assert blocked.status("d").decision.due
    with pytest.raises(SchemaConflict):
        blocked.flush("d", Trigger.MANUAL, "run")
    assert reason(blocked).startswith("blocked: ")


def test_new_metadata_and_a_recovery_are_reasons_to_try_again(blocked: Timestore) -> None:
    blocked.set_metadata("d", {"description": "another"})
    assert blocked.status("d").backlog.block is None
    failure_policy.block_if_configured_wrong(blocked.area, "d", AccessDenied("no"), "")
    assert blocked.status("d").backlog.block is not None
    recover(blocked.area, blocked.lake)
    assert blocked.status("d").backlog.block is None


def test_another_configuration_is_a_reason_to_try_again(blocked: Timestore, settings: Settings) -> None:
    elsewhere = Settings.build(home=settings.home, lake_uri=str(Path(settings.lake_uri).with_name("lake2")))
    with Timestore(elsewhere) as other:
        assert "blocked" not in other.status("d").decision.reason


def test_a_cause_that_is_gone_is_noticed(blocked: Timestore, settings: Settings) -> None:
    theirs = Path(settings.lake_uri, "d")
    theirs.rename(theirs.with_name("theirs"))
    assert "blocked" not in blocked.status("d").decision.reason
    theirs.with_name("theirs").rename(theirs)
    assert reason(blocked).startswith("failures in a row: 1")  # the place has changed all the same


def test_another_dataset_beside_it_is_no_reason_to_try_again(blocked: Timestore, staging: StagingManager) -> None:
    staging.enqueue("e", hourly(3))
    blocked.flush("e", Trigger.MANUAL, "run")
    assert reason(blocked).startswith("blocked: ")


def test_a_file_in_the_lakes_place_blocks_until_it_is_moved(
    settings: Settings, staging: StagingManager, timestore: Timestore
) -> None:
    lake = Path(settings.lake_uri)
    lake.write_text("in the way")
    staging.enqueue("d", hourly(3))
    for _ in range(failure_policy.FAILURES_BEFORE_BELIEF):
        with pytest.raises(UnreadableTable, match="where the lake needs a folder"):
            timestore.flush("d", Trigger.MANUAL, "run")
    decision = timestore.status("d").decision
    assert decision.reason.startswith("blocked: ")
    assert decision.waits_for.startswith("when the cause is removed")
    lake.unlink()
    assert "blocked" not in timestore.status("d").decision.reason
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == [0, 1, 2]


def test_what_is_published_is_blocked_no_more(blocked: Timestore, settings: Settings) -> None:
    Path(settings.lake_uri, "d").rename(Path(settings.lake_uri, "theirs"))
    blocked.flush("d", Trigger.MANUAL, "run")
    assert published(blocked) == [0, 1, 2]
    assert blocked.status("d").backlog.block is None


def test_it_is_tried_now_and_then_lest_nobody_tells(blocked: Timestore) -> None:
    block, now = blocked.status("d").backlog.block, clock.now()
    assert block is not None
    assert block.holds(block.configuration, now)
    assert not block.holds(block.configuration, now + LONGEST_BLOCK)
    assert not block.holds(block.configuration, now - timedelta(minutes=1))  # the clock was set back


def test_what_passes_by_itself_blocks_nobody(staging: StagingManager, timestore: Timestore) -> None:
    staging.enqueue("d", hourly(3))
    failure_policy.block_if_configured_wrong(timestore.area, "d", RetryLater("the lake is silent"), "")
    assert timestore.status("d").backlog.block is None


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), OSError("Generic error: denied (os error 30)")])
def test_a_lake_that_refuses_is_for_a_person_to_mend(error: OSError) -> None:
    for translated in (faults.not_committed("lake/d", error), faults.unreadable("lake/d", error)):
        assert isinstance(translated, AccessDenied)
        assert "TIMESTORE_LAKE_URI" in translated.hint
    assert isinstance(faults.not_committed("lake/d", OSError("timed out")), RetryLater)


def test_metadata_that_nobody_here_can_read_stops_its_dataset_alone_and_can_be_replaced(
    settings: Settings, staging: StagingManager, timestore: Timestore
) -> None:
    """As a newer release may have left them."""
    for dataset in ("d", "e"):
        staging.enqueue(dataset, hourly(3))
    with closing(sqlite3.connect(settings.staging_directory / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("""UPDATE datasets SET metadata = '{"future": 1}' WHERE name = 'd'""")
    assert [status.backlog.dataset for status in timestore.waiting()] == ["d", "e"]
    timestore.flush("e", Trigger.MANUAL, "run")
    with pytest.raises(InvalidMetadata, match="'d' in the ledger cannot be read"):
        timestore.flush("d", Trigger.MANUAL, "run")
    block = timestore.waiting()[0].backlog.block
    assert block is not None
    assert "`timestore datasets set d` replaces it" in block.hint
    timestore.set_metadata("d", {})
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == [0, 1, 2]


def test_a_block_that_another_release_wrote_down_is_none(blocked: Timestore, settings: Settings) -> None:
    with closing(sqlite3.connect(settings.staging_directory / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("""UPDATE datasets SET blocked = '{"new": 1}' WHERE name = 'd'""")
    assert blocked.status("d").backlog.block is None


@pytest.mark.parametrize("damage", ["DELETE FROM segments", "UPDATE segments SET state = 'quarantined'"])
def test_batches_that_no_claim_can_ever_take_are_named(
    settings: Settings, staging: StagingManager, timestore: Timestore, damage: str
) -> None:
    staging.enqueue("d", hourly(3))
    roll_up_all(timestore.area)
    with closing(sqlite3.connect(settings.staging_directory / "ledger.sqlite")) as ledger, ledger:
        ledger.execute(damage)
    with pytest.raises(LedgerIncomplete, match="does not list"):
        timestore.flush("d", Trigger.MANUAL, "run")
    assert reason(timestore).startswith("blocked: ")
    assert "timestore recover" in reason(timestore)
    if damage.startswith("DELETE"):
        recover(timestore.area, timestore.lake)
        timestore.flush("d", Trigger.MANUAL, "run")
        assert published(timestore) == [0, 1, 2]


def test_a_batch_that_comes_while_a_claim_is_taken_is_no_damage(
    staging: StagingManager, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Flushes.claim

    def claim_before_it_comes(flushes: Flushes, *arguments: Any) -> FlushRef | None:
        claimed = really(flushes, *arguments)
        staging.enqueue("d", hourly(3))
        return claimed

    timestore.area.ledger.datasets.ensure("d")
    with monkeypatch.context() as patched:
        patched.setattr(Flushes, "claim", claim_before_it_comes)
        assert timestore.pipeline.claim("d", Trigger.MANUAL, "run").ref is None
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == [0, 1, 2]
