"""File first, row second, receipts last; and every receipt resolves, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from tests.ingest.batches import publish, queued, readings, sealed_rows, tagged, volumes
from timestore_pipeline.errors import (
    IdempotencyConflict,
    InvalidData,
    LedgerBusy,
    TimestoreError,
    UnreadableSegment,
)
from timestore_pipeline.ingest import group_commit
from timestore_pipeline.ingest.catalog import DatasetCatalog
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.ledger import database
from timestore_pipeline.staging.segments import OpenSegment

NEW = {"extra": pa.int64()}


@pytest.fixture
def commits(area: StagingArea) -> Iterator[GroupCommit]:
    with open_engine() as engine:
        opened = GroupCommit(area, engine.cursor, 1_000_000, DatasetCatalog(area.ledger).refit)
        yield opened
        opened.seal()
        opened.close()


def test_a_group_is_staged_under_its_own_ids(area: StagingArea, commits: GroupCommit) -> None:
    batches = [queued(area, readings(n), f"k{n}") for n in (1, 0, 3)]
    commits.commit(batches)
    receipts = [batch.receipt.result(0) for batch in batches]
    assert [(receipt.rows, receipt.duplicate, receipt.dataset) for receipt in receipts] == [
        (1, False, "d"),
        (0, False, "d"),
        (3, False, "d"),
    ]
    commits.seal()
    assert sealed_rows(area) == {receipt.batch_id: receipt.rows for receipt in receipts if receipt.rows}
    assert volumes(area)["pending"].batches == 3


def test_nothing_to_commit_is_nothing(area: StagingArea, commits: GroupCommit) -> None:
    commits.commit([])
    assert area.ledger.segments.of_dataset("d") == []


def test_a_key_twice_in_one_group_is_one_batch(area: StagingArea, commits: GroupCommit) -> None:
    batches = [queued(area, readings(2), key) for key in ("a", "b", "a", "a")]
    commits.commit(batches)
    receipts = [batch.receipt.result(0) for batch in batches]
    assert [receipt.duplicate for receipt in receipts] == [False, False, True, True]
    assert receipts[2].batch_id == receipts[3].batch_id == receipts[0].batch_id
    assert volumes(area)["accepted"].batches == 2


def test_a_key_again_is_answered_with_the_first_receipt(area: StagingArea, commits: GroupCommit) -> None:
    first, second = queued(area, readings(2), "a"), queued(area, readings(2), "a")
    commits.commit([first])
    commits.commit([second])
    receipt = second.receipt.result(0)
    assert receipt.duplicate
    assert (receipt.batch_id, receipt.staged_at) == (
        first.receipt.result(0).batch_id,
        first.receipt.result(0).staged_at,
    )


def test_a_key_is_known_after_its_batch_was_published(area: StagingArea, commits: GroupCommit) -> None:
    first, second = queued(area, readings(2), "a"), queued(area, readings(2), "a")
    commits.commit([first])
    commits.seal()
    publish(area)
    commits.commit([second])
    assert second.receipt.result(0).duplicate
    assert "pending" not in volumes(area)


@pytest.mark.parametrize("together", [True, False])
def test_a_key_with_other_data_is_a_conflict(area: StagingArea, commits: GroupCommit, together: bool) -> None:
    first, other = queued(area, readings(2), "a"), queued(area, readings(3), "a")
    for group in [[first, other]] if together else [[first], [other]]:
        commits.commit(group)
    assert not first.receipt.result(0).duplicate
    error = other.receipt.exception(0)
    assert isinstance(error, IdempotencyConflict)
    assert "used for 2 rows, now for 3" in str(error)


def test_a_key_another_process_staged_meanwhile_is_a_duplicate(
    area: StagingArea, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_engine() as engine:
        rival = GroupCommit(area, engine.cursor, 1_000_000, DatasetCatalog(area.ledger).refit)
        theirs, mine = queued(area, readings(2), "a"), queued(area, readings(2), "a")
        also = queued(area, readings(1))
        append = OpenSegment.append

        def late(segment: OpenSegment, *arguments: object) -> None:
            monkeypatch.undo()
            rival.commit([theirs])
            append(segment, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(OpenSegment, "append", late)
        commits.commit([mine, also])
        rival.seal()
    assert mine.receipt.result(0).duplicate
    assert mine.receipt.result(0).batch_id == theirs.receipt.result(0).batch_id
    assert not also.receipt.result(0).duplicate
    assert volumes(area)["accepted"].rows == 3


@pytest.mark.usefixtures("unchecked_keys")
def test_one_bad_batch_fails_alone(area: StagingArea, commits: GroupCommit) -> None:
    batches = [queued(area, tagged("a"), "1"), queued(area, tagged("a", "a"), "2"), queued(area, tagged("b"), "3")]
    commits.commit(batches)
    assert [batch.receipt.exception(0) is None for batch in batches] == [True, False, True]
    assert isinstance(batches[1].receipt.exception(0), InvalidData)
    commits.seal()
    assert sum(sealed_rows(area).values()) == volumes(area)["pending"].rows == 2


@pytest.mark.usefixtures("unchecked_keys")
def test_segments_without_a_promise_are_not_left_behind(area: StagingArea, commits: GroupCommit) -> None:
    for _ in range(3):
        commits.commit([queued(area, tagged("a", "a"))])
    commits.seal()
    assert area.ledger.segments.of_dataset("d") == []
    assert area.dataset_usage("d").total == 0


def test_an_unforeseen_error_of_one_batch_is_its_own(
    area: StagingArea, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = group_commit._in_columns_of

    def fails_for_two_rows(segment: OpenSegment, batch: QueuedBatch) -> pa.Table:
        if batch.rows.num_rows == 2:
            raise pa.ArrowInvalid("unforeseen")
        return fitted(segment, batch)

    monkeypatch.setattr(group_commit, "_in_columns_of", fails_for_two_rows)
    batches = [queued(area, readings(n)) for n in (1, 2, 3)]
    commits.commit(batches)
    assert [batch.receipt.exception(0) is None for batch in batches] == [True, False, True]
    error = batches[1].receipt.exception(0)
    assert isinstance(error, TimestoreError)
    assert isinstance(error.__cause__, pa.ArrowInvalid)


def test_a_ledger_that_does_not_answer_fails_the_group_and_not_the_next(
    area: StagingArea, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits.commit([queued(area, readings(1))])
    lost = [queued(area, readings(n), f"k{n}") for n in (2, 3)]
    with StagingArea(area.directory.root, area.shard) as other, monkeypatch.context() as patch:
        patch.setattr(database, "_BUSY_TIMEOUT", 0.0)
        with other.ledger.database.transaction():
            commits.commit(lost)
    assert all(isinstance(batch.receipt.exception(0), LedgerBusy) for batch in lost)
    again = [queued(area, readings(n), f"k{n}") for n in (2, 3)]
    commits.commit(again)
    assert not any(batch.receipt.result(0).duplicate for batch in again)
    commits.seal()
    assert volumes(area)["pending"].rows == 6
    assert sum(sealed_rows(area).values()) == 11  # the lost ones lie there, promised to nobody


def test_a_seal_that_could_not_be_recorded_is_recorded_later(
    area: StagingArea, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits.commit([queued(area, readings(1))])
    with StagingArea(area.directory.root, area.shard) as other, monkeypatch.context() as patch:
        patch.setattr(database, "_BUSY_TIMEOUT", 0.0)
        with other.ledger.database.transaction(), pytest.raises(LedgerBusy):
            commits.seal()
    assert len(area.ledger.segments.open_segments("d")) == 1
    commits.seal()
    assert area.ledger.segments.open_segments("d") == []
    assert sum(sealed_rows(area).values()) == 1


def test_a_segment_that_cannot_be_made_is_disowned_and_the_next_works(area: StagingArea, commits: GroupCommit) -> None:
    batch = queued(area, readings(1))
    folder = area.directory.segment_folder("d")
    folder.write_text("in the way")
    commits.commit([batch])
    assert isinstance(batch.receipt.exception(0), UnreadableSegment)
    [left] = area.ledger.segments.of_dataset("d")
    assert left.owner == ""
    folder.unlink()
    again = queued(area, readings(1))
    commits.commit([again])
    assert again.receipt.result(0).rows == 1


def test_a_cancelled_batch_is_not_staged_and_harms_nobody(area: StagingArea, commits: GroupCommit) -> None:
    batches = [queued(area, readings(n)) for n in (1, 2, 3)]
    batches[1].receipt.cancel()
    commits.commit(batches)
    assert [batches[n].receipt.result(0).rows for n in (0, 2)] == [1, 3]
    assert volumes(area)["accepted"].rows == 4
    assert not batches[0].receipt.cancel()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), MemoryError(), RuntimeError("?")])
def test_whatever_is_raised_no_receipt_stays_open(
    area: StagingArea, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    batches = [queued(area, readings(n)) for n in (1, 2)]

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(area.ledger.batches), "record", fails)
    commits.commit(batches)
    monkeypatch.undo()
    for batch in batches:
        failure = batch.receipt.exception(0)
        assert isinstance(failure, TimestoreError)
        assert failure.__cause__ is error


def test_a_new_column_opens_a_new_segment_and_an_older_batch_fits_it(area: StagingArea, commits: GroupCommit) -> None:
    old = queued(area, readings(1))
    commits.commit([old])
    older, newer, later = (queued(area, readings(n, **more)) for n, more in ((2, {}), (3, NEW), (4, {})))
    commits.commit([older, newer])
    commits.commit([later])
    segments = [batch.receipt.result(0).batch_id.split("-")[0] for batch in (old, older, newer, later)]
    assert segments[0] == segments[1] != segments[2] == segments[3]
    assert [segment.sealed for segment in area.ledger.segments.of_dataset("d")] == [True, False]


def test_a_large_segment_is_sealed_and_followed_by_another(area: StagingArea) -> None:
    with open_engine() as engine:
        commits = GroupCommit(area, engine.cursor, 100, DatasetCatalog(area.ledger).refit)
        for _ in range(3):
            commits.commit([queued(area, readings(10))])
        assert [segment.sealed for segment in area.ledger.segments.of_dataset("d")] == [True] * 3
