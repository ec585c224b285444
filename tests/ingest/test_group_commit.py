"""File first, row second, receipts last, for all datasets at once; and every receipt resolves, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pyarrow as pa
import pytest

from tests.ingest.batches import (
    group_commit,
    journal_rows,
    journals_of,
    publish,
    queued,
    readings,
    segment_rows,
    volumes,
)
from timestore_pipeline.errors import (
    DiskFull,
    IdempotencyConflict,
    LedgerBusy,
    RetryLater,
    SchemaConflict,
    TimestoreError,
)
from timestore_pipeline.ingest import group as module
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import Journal
from timestore_pipeline.staging.journal_records import Encoded
from timestore_pipeline.staging.ledger import database
from timestore_pipeline.system import clock

NEW = {"extra": pa.int64()}


@pytest.fixture
def closed() -> list[str]:
    """Ids of journals that were said to be appended to no more."""
    return []


@pytest.fixture
def commits(area: StagingArea, closed: list[str]) -> Iterator[GroupCommit]:
    opened = group_commit(area, closed.append)
    yield opened
    opened.close_journal()


def meanwhile(monkeypatch: pytest.MonkeyPatch, rival: GroupCommit, theirs: Sequence[QueuedBatch]) -> None:
    """Another process stages these once the next group is durable in its journal and not promised yet."""
    append = Journal.append

    def late(journal: Journal, records: Sequence[Encoded]) -> list[int]:
        offsets = append(journal, records)
        monkeypatch.setattr(Journal, "append", append)
        rival.commit(theirs)
        return offsets

    monkeypatch.setattr(Journal, "append", late)


def outcomes(batches: Sequence[QueuedBatch]) -> list[str]:
    """What became of each: `staged`, `duplicate`, or the error's class."""
    errors = [batch.receipt.exception(0) for batch in batches]
    said = {True: "duplicate", False: "staged"}
    return [
        said[batch.receipt.result(0).duplicate] if error is None else type(error).__name__
        for batch, error in zip(batches, errors, strict=True)
    ]


def test_a_group_is_staged_under_its_own_ids(area: StagingArea, commits: GroupCommit) -> None:
    batches = [queued(area, readings(n), f"k{n}") for n in (1, 0, 3)]
    commits.commit(batches)
    receipts = [batch.receipt.result(0) for batch in batches]
    assert [(receipt.rows, receipt.duplicate, receipt.dataset) for receipt in receipts] == [
        (1, False, "d"),
        (0, False, "d"),
        (3, False, "d"),
    ]
    assert segment_rows(area) == {receipt.batch_id: receipt.rows for receipt in receipts if receipt.rows}
    assert volumes(area)["pending"].batches == 3


def test_all_datasets_of_a_group_are_one_write_and_one_transaction(
    area: StagingArea, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a", "b", "c"]
    commits.commit([queued(area, readings(1), dataset=name) for name in names])
    batches = [queued(area, readings(n + 1), dataset=name) for n in range(4) for name in names]
    appended: list[int] = []
    append = Journal.append

    def counted(journal: Journal, records: Sequence[Encoded]) -> list[int]:
        appended.append(len(records))
        return append(journal, records)

    monkeypatch.setattr(Journal, "append", counted)
    with StagingArea(area.directory.root, area.shard) as other:
        before = other.ledger.database.change_marker()
        commits.commit(batches)
        assert other.ledger.database.change_marker() == before + 1
    assert appended == [3]  # a record for each dataset
    assert outcomes(batches) == ["staged"] * 12
    assert len(set(journals_of(area, batches))) == 1
    for name in names:
        assert sorted(segment_rows(area, name).values()) == [1, 1, 2, 3, 4]


def test_each_datasets_batches_are_numbered_for_themselves_without_gaps(
    area: StagingArea, commits: GroupCommit
) -> None:
    batches = [queued(area, readings(1), dataset=name) for _ in range(3) for name in ("d", "e")]
    for some in (batches[:2], batches[2:]):
        commits.commit(some)
    ids = [batch.receipt.result(0).batch_id for batch in batches]
    for mine in (ids[::2], ids[1::2]):
        stream = mine[0].rpartition("-")[0]
        assert mine == [f"{stream}-{number:06d}" for number in range(3)]
    assert len(set(ids)) == 6


def test_nothing_to_commit_is_nothing(area: StagingArea, commits: GroupCommit) -> None:
    commits.commit([])
    assert area.ledger.journals.all() == []
    assert area.directory.journal_files() == []


def test_a_key_twice_in_one_group_is_one_batch(area: StagingArea, commits: GroupCommit) -> None:
    batches = [queued(area, readings(2), key) for key in ("a", "b", "a", "a")]
    commits.commit(batches)
    assert outcomes(batches) == ["staged", "staged", "duplicate", "duplicate"]
    receipts = [batch.receipt.result(0) for batch in batches]
    assert receipts[2].batch_id == receipts[3].batch_id == receipts[0].batch_id
    assert volumes(area)["accepted"].batches == 2
    assert len(journal_rows(area)) == 2


def test_a_key_of_one_dataset_is_none_of_another(area: StagingArea, commits: GroupCommit) -> None:
    batches = [queued(area, readings(2), "a", dataset=name) for name in ("d", "e", "d", "e")]
    commits.commit(batches)
    assert outcomes(batches) == ["staged", "staged", "duplicate", "duplicate"]
    assert volumes(area, "d")["accepted"].batches == volumes(area, "e")["accepted"].batches == 1


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
    assert len(journal_rows(area)) == 1


def test_a_key_is_known_after_its_batch_was_published(area: StagingArea, commits: GroupCommit) -> None:
    first, second = queued(area, readings(2), "a"), queued(area, readings(2), "a")
    commits.commit([first])
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
    rival = group_commit(area)
    theirs, mine = queued(area, readings(2), "a"), queued(area, readings(2), "a")
    also, elsewhere = queued(area, readings(1)), queued(area, readings(4), "a", "e")
    meanwhile(monkeypatch, rival, [theirs])
    commits.commit([mine, also, elsewhere])
    rival.close_journal()
    assert outcomes([theirs, mine, also, elsewhere]) == ["staged", "duplicate", "staged", "staged"]
    assert mine.receipt.result(0).batch_id == theirs.receipt.result(0).batch_id
    assert volumes(area)["accepted"].rows == 3
    assert sum(segment_rows(area).values()) == 3


def test_a_dataset_that_was_changed_meanwhile_leaves_the_others_alone(
    area: StagingArea, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, half = ([{"v": 1}], [{"v": 0.5}])
    commits.commit([queued(area, pa.Table.from_pylist(whole), dataset=name) for name in ("d", "e")])
    rival = group_commit(area)
    theirs = queued(area, pa.Table.from_pylist(half))  # makes `v` of `d` a double
    mine = [queued(area, pa.Table.from_pylist(whole), dataset=name) for name in ("d", "e")]
    meanwhile(monkeypatch, rival, [theirs])
    commits.commit(mine)
    rival.close_journal()
    assert outcomes([theirs, *mine]) == ["staged"] * 3
    written = [name for name, _ in journal_rows(area)]
    assert written.count(mine[0].receipt.result(0).batch_id) == 2  # fitted again, under the same id
    assert [name for name, _ in journal_rows(area, "e")].count(mine[1].receipt.result(0).batch_id) == 1
    assert volumes(area)["accepted"].batches == 3
    assert sorted(segment_rows(area).values()) == [1, 1, 1]


def test_a_batch_that_no_longer_fits_is_refused_and_no_other(
    area: StagingArea, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits.commit([queued(area, readings(1)), queued(area, readings(1), dataset="e")])
    rival = group_commit(area)
    theirs = queued(area, readings(1, both=pa.string()))
    mine = [queued(area, readings(1, both=pa.int64())), queued(area, readings(1), dataset="e")]
    meanwhile(monkeypatch, rival, [theirs])
    commits.commit(mine)
    rival.close_journal()
    assert outcomes([theirs, *mine]) == ["staged", "SchemaConflict", "staged"]
    assert isinstance(mine[0].receipt.exception(0), SchemaConflict)


def test_an_unforeseen_error_of_one_batch_is_its_own(
    area: StagingArea, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = module._in_columns_of

    def fails_for_two_rows(schema: pa.Schema, batch: QueuedBatch) -> pa.Table:
        if batch.rows.num_rows == 2:
            raise pa.ArrowInvalid("unforeseen")
        return fitted(schema, batch)

    commits.commit([queued(area, readings(0), dataset=name) for name in ("d", "e")])
    monkeypatch.setattr(module, "_in_columns_of", fails_for_two_rows)
    batches = [queued(area, readings(n), dataset=name) for name in ("d", "e") for n in (1, 2, 3)]
    commits.commit(batches)
    assert [batch.receipt.exception(0) is None for batch in batches] == [True, False, True] * 2
    error = batches[1].receipt.exception(0)
    assert isinstance(error, TimestoreError)
    assert isinstance(error.__cause__, pa.ArrowInvalid)
    assert sorted(segment_rows(area).values()) == sorted(segment_rows(area, "e").values()) == [1, 3]


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
    assert outcomes(again) == ["staged", "staged"]
    assert volumes(area)["pending"].rows == 6
    assert sum(rows for _, rows in journal_rows(area)) == 11  # the lost ones were written and never acknowledged
    assert sum(segment_rows(area).values()) == 6


def test_a_journal_that_could_not_be_closed_in_the_ledger_is_closed_later(
    area: StagingArea, commits: GroupCommit, closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commits.commit([queued(area, readings(1))])
    with StagingArea(area.directory.root, area.shard) as other, monkeypatch.context() as patch:
        patch.setattr(database, "_BUSY_TIMEOUT", 0.0)
        with other.ledger.database.transaction(), pytest.raises(LedgerBusy):
            commits.close_journal()
    [journal] = area.ledger.journals.all()
    assert (journal.closed, closed) == (False, [])
    commits.close_journal()
    commits.close_journal()
    assert [one.closed for one in area.ledger.journals.all()] == [True]
    assert closed == [journal.journal_id]


def test_after_a_write_that_failed_the_journal_is_given_up_and_the_next_batch_gets_another(
    area: StagingArea, commits: GroupCommit, closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = queued(area, readings(1))
    commits.commit([first])

    def full(*_: object) -> None:
        raise DiskFull("no space left", hint="")

    lost = [queued(area, readings(1), "k", dataset=name) for name in ("d", "e")]
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        commits.commit(lost)
    assert outcomes(lost) == ["DiskFull", "DiskFull"]
    again = [queued(area, readings(1), "k", dataset=name) for name in ("d", "e")]
    commits.commit(again)
    journals = journals_of(area, [first, *again])
    assert journals[0] != journals[1] == journals[2]
    assert closed == [journals[0]]
    assert [journal.closed for journal in area.ledger.journals.all()] == [True, False]


def test_a_journal_that_cannot_be_made_leaves_nothing_and_the_next_works(
    area: StagingArea, commits: GroupCommit
) -> None:
    folder = area.directory.journals
    folder.rmdir()
    folder.write_text("in the way")
    batch = queued(area, readings(1))
    commits.commit([batch])
    assert isinstance(batch.receipt.exception(0), RetryLater)
    folder.unlink()
    folder.mkdir()
    again = queued(area, readings(1))
    commits.commit([again])
    assert again.receipt.result(0).rows == 1
    commits.close_journal()
    assert all(journal.closed for journal in area.ledger.journals.all())


def test_a_cancelled_batch_is_not_staged_and_harms_no_other(area: StagingArea, commits: GroupCommit) -> None:
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
    batches = [queued(area, readings(n), dataset=name) for name in ("d", "e") for n in (1, 2)]

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(area.ledger.batches), "promise", fails)
    commits.commit(batches)
    monkeypatch.undo()
    for batch in batches:
        failure = batch.receipt.exception(0)
        assert isinstance(failure, TimestoreError)
        assert failure.__cause__ is error


def test_batches_of_before_and_after_a_new_column_lie_in_one_journal(area: StagingArea, commits: GroupCommit) -> None:
    old = queued(area, readings(1))
    commits.commit([old])
    older, newer, later = (queued(area, readings(n, **more)) for n, more in ((2, {}), (3, NEW), (4, {})))
    commits.commit([older, newer])
    commits.commit([later])
    batches = [old, older, newer, later]
    assert outcomes(batches) == ["staged"] * 4
    assert len(set(journals_of(area, batches))) == 1
    assert segment_rows(area) == {batch.receipt.result(0).batch_id: batch.rows.num_rows for batch in batches}
    assert len(area.ledger.segments.of_dataset("d")) == 2  # one for each layout


def test_a_large_journal_is_closed_and_followed_by_another(
    area: StagingArea, commits: GroupCommit, closed: list[str]
) -> None:
    area.segment_max_bytes = 100
    batches = [queued(area, readings(10)) for _ in range(3)]
    for batch in batches:
        commits.commit([batch])
    ids = journals_of(area, batches)
    assert len(set(ids)) == 3
    assert closed == ids[:2]


def test_an_old_journal_is_closed_and_followed_by_another(
    area: StagingArea, commits: GroupCommit, closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (queued(area, readings(1)) for _ in range(3))
    commits.commit([first])
    commits.commit([second])
    now = clock.monotonic() + timedelta(minutes=1).total_seconds()
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    commits.commit([third])
    ids = journals_of(area, [first, second, third])
    assert ids[0] == ids[1] != ids[2]
    assert closed == [ids[0]]


def test_duplicates_alone_begin_no_journal(area: StagingArea, commits: GroupCommit) -> None:
    commits.commit([queued(area, readings(1), "k")])
    commits.close_journal()
    [known] = area.ledger.journals.all()
    again = queued(area, readings(1), "k")
    commits.commit([again])
    assert again.receipt.result().duplicate
    assert area.ledger.journals.all() == [known]
