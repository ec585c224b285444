"""Every row is read once, with a query at any step of a flush, and a flush at any moment of a query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.flush.conftest import hourly
from tests.query.answers import numbers
from tests.staging.rolled import roll_up_all, roll_up_in
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import RetryLater, UnreadableSegment
from timestore_pipeline.flush import claim
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.query import plan
from timestore_pipeline.query.plan import Pins
from timestore_pipeline.staging import segments
from timestore_pipeline.staging.journal import JournalReader
from timestore_pipeline.staging.ledger.flushes import Flushes
from timestore_pipeline.staging.ledger.segment_rows import Segments
from timestore_pipeline.staging.ledger.staged import StagedFiles
from timestore_pipeline.wiring import Timestore

ROWS = 30  # of each batch; hours, so they lie in two partitions

OF_A_FLUSH = (
    (claim, "remove_unfinished"), (Flushes, "claim"), (LakeTable, "ensure"), (LakeTable, "write"),
    (Flushes, "record_export"), (DeltaTable, "create_write_transaction"), (LakeTable, "publish"),
    (Flushes, "finalize"), (segments, "remove"), (Segments, "forget"),
)  # fmt: skip
OF_AN_ABORT = ((LakeTable, "publish"), (LakeTable, "burn"), (Flushes, "abort"), (LakeTable, "discard"))
OF_A_QUERY = (
    (JournalReader, "read"), (Pins, "pin_journal"), (plan, "unreadable"), (StagedFiles, "at_once"), (Pins, "pin"),
    (Lake, "table"), (LakeTable, "snapshot"),
)  # fmt: skip


def at(patch: pytest.MonkeyPatch, owner: Any, name: str, hook: Callable[[], object]) -> None:
    """Call the hook after the first call of a function, also when it failed."""
    real = getattr(owner, name)

    def hooked(*arguments: Any, **options: Any) -> Any:
        patch.setattr(owner, name, real)
        try:
            return real(*arguments, **options)
        finally:
            hook()

    patch.setattr(owner, name, hooked)


def fail(*_arguments: Any, **_options: Any) -> None:
    raise RetryLater("refused for a test")


def flush(settings: Settings) -> None:
    with Timestore(settings) as store:
        store.flush("d", Trigger.MANUAL, "test")


def stage(settings: Settings, first: int) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", hourly(ROWS, first))


@pytest.fixture
def rows(settings: Settings) -> list[int]:
    """A published batch, one in a segment and one in a journal."""
    stage(settings, 0)
    flush(settings)
    stage(settings, ROWS)
    roll_up_in(settings)
    stage(settings, 2 * ROWS)
    return list(range(3 * ROWS))


def test_a_query_at_any_instant_of_a_flush(settings: Settings, timestore: Timestore, rows: list[int]) -> None:
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in OF_A_FLUSH:
            at(patch, owner, name, lambda: found.append(numbers(timestore)))
        flush(settings)
    assert found == [rows] * len(OF_A_FLUSH)


def test_a_query_at_any_instant_of_an_abort(settings: Settings, timestore: Timestore, rows: list[int]) -> None:
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LakeTable, "publish", fail)
        for owner, name in OF_AN_ABORT:
            at(patch, owner, name, lambda: found.append(numbers(timestore)))
        with pytest.raises(RetryLater):
            flush(settings)
    assert found == [rows] * len(OF_AN_ABORT)


@pytest.mark.parametrize(("owner", "name"), OF_A_QUERY, ids=[name for _, name in OF_A_QUERY])
def test_flushes_at_any_instant_of_a_query(
    owner: Any, name: str, settings: Settings, timestore: Timestore, rows: list[int]
) -> None:
    """The second flush has a new batch: it was acknowledged after the query began, which may show it or not."""

    def flush_twice() -> None:
        flush(settings)
        stage(settings, len(rows))
        flush(settings)

    with pytest.MonkeyPatch.context() as patch:
        at(patch, owner, name, flush_twice)
        found = numbers(timestore)
    assert found in (rows, list(range(len(rows) + ROWS)))


def test_a_claim_that_is_given_back_and_claimed_again_during_a_query(
    settings: Settings, timestore: Timestore, rows: list[int]
) -> None:
    """The ledger told of the first claim, the table has the second: no comparison of epochs says which batches."""

    def give_back_and_flush() -> None:
        assert ref is not None
        with pytest.MonkeyPatch.context() as failing:
            failing.setattr(LakeTable, "publish", fail)
            with pytest.raises(RetryLater):
                other.pipeline.publish(ref)
        flush(settings)

    with Timestore(settings) as other, pytest.MonkeyPatch.context() as patch:
        ref = other.pipeline.claim("d", Trigger.MANUAL, "test").ref
        assert ref is not None
        other.pipeline.export(ref, other.export_options())
        at(patch, Lake, "table", give_back_and_flush)  # when the segments are pinned, before the table is opened
        assert numbers(timestore) == rows


def test_a_journal_that_a_flush_removes_before_it_is_read_is_no_damage(
    settings: Settings, timestore: Timestore, rows: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at(patch, StagedFiles, "at_once", lambda: flush(settings))
        assert numbers(timestore) == rows


def test_a_segment_that_is_nowhere_is_an_error_that_names_it(timestore: Timestore, rows: list[int]) -> None:
    [lost] = roll_up_all(timestore.area)
    lost.unlink()
    with pytest.raises(UnreadableSegment, match=str(lost)) as refused:
        numbers(timestore)
    assert "timestore recover" in refused.value.hint
    assert "--published-only" in refused.value.hint
