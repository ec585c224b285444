"""At most once: the possible events of an epoch, in every order, and the outcome in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from tests.lake.exporting import APP, NUMBERS, export, publish
from timestore_pipeline.errors import Fenced, OutcomeUnknown, RetryLater
from timestore_pipeline.lake.epochs import EpochCommit, Settled, settle
from timestore_pipeline.lake.handle import TableHandle
from timestore_pipeline.lake.log import DeltaLog
from timestore_pipeline.lake.store import LocalStore
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.lake import EpochOutcome

OTHER = "timestore/shard-1/weather"


@pytest.fixture
def table(lake: Lake) -> LakeTable:
    """The table of this module exists and has no rows; another shard has burnt a high epoch of its own."""
    table = lake.table("weather")
    export(table, NUMBERS)
    table.burn(OTHER, 99, "unrelated")
    return table


def rows(table: LakeTable) -> int:
    return int(table.to_arrow_dataset().count_rows())


def test_a_fresh_epoch_is_absent(table: LakeTable) -> None:
    assert table.outcome(APP, 1) is EpochOutcome.ABSENT


def test_a_published_epoch_is_published_and_its_rows_are_there(table: LakeTable) -> None:
    assert publish(table, NUMBERS, epoch=1) == 2
    assert (table.outcome(APP, 1), rows(table)) == (EpochOutcome.PUBLISHED, 3)


def test_publishing_again_changes_nothing_and_returns_the_same_version(table: LakeTable) -> None:
    first = publish(table, NUMBERS, epoch=1)
    publish(table, NUMBERS, app=OTHER, epoch=100)
    assert publish(table, NUMBERS, epoch=1) == first
    assert rows(table) == 6


def test_a_burnt_epoch_never_gets_in(table: LakeTable) -> None:
    files = export(table, NUMBERS)
    assert table.burn(APP, 1, "crashed") is EpochOutcome.BURNT
    with pytest.raises(Fenced, match="epoch 1"):
        table.publish(APP, 1, files, {})
    assert (table.outcome(APP, 1), rows(table)) == (EpochOutcome.BURNT, 0)


def test_burning_a_published_epoch_is_too_late(table: LakeTable) -> None:
    publish(table, NUMBERS, epoch=1)
    assert table.burn(APP, 1, "crashed") is EpochOutcome.PUBLISHED
    assert (table.outcome(APP, 1), rows(table)) == (EpochOutcome.PUBLISHED, 3)


def test_burning_twice_commits_once(table: LakeTable) -> None:
    assert [table.burn(APP, 1, "crashed") for _ in range(2)] == [EpochOutcome.BURNT] * 2
    assert len(list(table.commits())) == 2


def test_outcomes_of_passed_epochs_are_read_from_their_commits(table: LakeTable) -> None:
    publish(table, NUMBERS, epoch=1)
    table.burn(APP, 2, "crashed")
    publish(table, NUMBERS, epoch=4)
    outcomes = {epoch: table.outcome(APP, epoch) for epoch in (1, 2, 3, 4, 5)}
    assert outcomes == {
        1: EpochOutcome.PUBLISHED,
        2: EpochOutcome.BURNT,
        3: EpochOutcome.BURNT,  # skipped
        4: EpochOutcome.PUBLISHED,
        5: EpochOutcome.ABSENT,
    }


def test_a_skipped_epoch_is_fenced_and_need_not_be_burnt(table: LakeTable) -> None:
    late = export(table, NUMBERS, epoch=3)
    publish(table, NUMBERS, epoch=4)
    with pytest.raises(Fenced):
        table.publish(APP, 3, late, {})
    assert table.burn(APP, 3, "crashed") is EpochOutcome.BURNT
    assert rows(table) == 3


def test_a_passed_epoch_published_again_returns_its_own_version(table: LakeTable) -> None:
    first = publish(table, NUMBERS, epoch=1)
    publish(table, NUMBERS, epoch=2)
    assert publish(table, NUMBERS, epoch=1) == first
    assert rows(table) == 6


def test_an_epoch_may_be_published_without_files(table: LakeTable) -> None:
    assert table.publish(APP, 1, [], {}) == 2
    assert table.outcome(APP, 1) is EpochOutcome.PUBLISHED


class InterruptedHandle(TableHandle):
    """Something happens between a snapshot and what is done with it; one thing for each snapshot."""

    def __init__(self, table: LakeTable, happenings: list[Callable[[], object]]) -> None:
        super().__init__(table.uri, {}, DeltaLog(LocalStore(Path(table.uri))))
        self.happenings = happenings

    def existing(self) -> DeltaTable:
        snapshot = super().existing()
        if self.happenings:
            self.happenings.pop(0)()
        return snapshot


def settle_after(table: LakeTable, *happenings: Callable[[], object]) -> Settled:
    """Publish epoch 1 with no files; the first happening comes before its commit, the second after it."""
    handle = InterruptedHandle(table, list(happenings))
    settled = settle(handle, EpochCommit(APP, 1, burn=False, adds=(), metadata={}))
    assert handle.happenings == []
    return settled


def test_a_zombie_with_an_old_snapshot_is_fenced_by_a_burn(table: LakeTable) -> None:
    settled = settle_after(table, lambda: table.burn(APP, 1, "thought dead"))
    assert settled == Settled(EpochOutcome.BURNT, 2)
    assert [commit["outcome"] for _, commit in table.commits(after=1)] == ["aborted"]


def test_a_zombie_with_an_old_snapshot_is_fenced_by_a_later_epoch(table: LakeTable) -> None:
    settled = settle_after(table, lambda: publish(table, NUMBERS, epoch=2))
    assert settled == Settled(EpochOutcome.BURNT, None)
    assert rows(table) == 3


def test_a_second_attempt_at_the_same_epoch_finds_the_first(table: LakeTable) -> None:
    settled = settle_after(table, lambda: publish(table, NUMBERS, epoch=1))
    assert settled == Settled(EpochOutcome.PUBLISHED, 2)
    assert rows(table) == 3


def test_an_unrelated_commit_in_between_does_not_fence(table: LakeTable) -> None:
    settled = settle_after(table, lambda: publish(table, NUMBERS, app=OTHER, epoch=100))
    assert settled == Settled(EpochOutcome.PUBLISHED, 3)


def test_a_schema_change_in_between_only_costs_another_attempt(table: LakeTable) -> None:
    settled = settle_after(table, lambda: export(table, NUMBERS.append_column("m", NUMBERS["n"])))
    assert settled == Settled(EpochOutcome.PUBLISHED, 3)


@pytest.fixture
def lose_the_log(table: LakeTable) -> Iterator[Callable[[], None]]:
    """Make every access to the log fail, until the test is over."""
    log = Path(table.uri, "_delta_log")
    away = log.with_name("away")

    def lose() -> None:
        log.rename(away)
        log.symlink_to(log)  # to itself, as a stale mount: neither there nor absent

    yield lose
    bring_back(table)


def bring_back(table: LakeTable) -> None:
    log = Path(table.uri, "_delta_log")
    if log.is_symlink():
        log.unlink()
        log.with_name("away").rename(log)


def nothing() -> None:
    """A snapshot is used undisturbed."""


class Ambush(list[AddAction]):
    """No files, but something happens when they are handed to the commit."""

    def __init__(self, happening: Callable[[], None]) -> None:
        super().__init__()
        self._happening = happening

    def __iter__(self) -> Iterator[AddAction]:
        self._happening()
        return super().__iter__()


def test_a_log_out_of_reach_before_the_commit_calls_for_a_retry(
    table: LakeTable, lose_the_log: Callable[[], None]
) -> None:
    with pytest.raises(RetryLater, match="does not answer"):
        settle_after(table, lose_the_log)
    bring_back(table)
    assert table.outcome(APP, 1) is EpochOutcome.ABSENT


def test_a_commit_that_fails_while_the_log_is_out_of_reach_is_unknown_and_not_failed(
    table: LakeTable, lose_the_log: Callable[[], None]
) -> None:
    commit = EpochCommit(APP, 1, burn=False, adds=Ambush(lose_the_log), metadata={})
    with pytest.raises(OutcomeUnknown, match="epoch 1 may or may not be"):
        settle(InterruptedHandle(table, []), commit)
    bring_back(table)
    assert table.outcome(APP, 1) is EpochOutcome.ABSENT


def test_a_log_out_of_reach_after_the_commit_is_unknown_and_not_failed(
    table: LakeTable, lose_the_log: Callable[[], None]
) -> None:
    with pytest.raises(OutcomeUnknown, match="epoch 1 may or may not be"):
        settle_after(table, nothing, lose_the_log)
    bring_back(table)
    assert table.outcome(APP, 1) is EpochOutcome.PUBLISHED


def test_a_commit_that_fails_while_the_log_answers_may_be_retried(table: LakeTable) -> None:
    blocked = Path(table.uri, "_delta_log", f"{2:020d}.json")
    commit = EpochCommit(APP, 1, burn=False, adds=Ambush(blocked.mkdir), metadata={})
    with pytest.raises(RetryLater, match="commit to"):
        settle(InterruptedHandle(table, []), commit)
