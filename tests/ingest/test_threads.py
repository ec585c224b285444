"""The thread that rolls up what this process has written: in the background, slowly, and again after an error.

The thread that notices what others change in the ledger, and writes counts.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from tests.ingest.batches import counted, queued, readings, segment_rows, volumes
from tests.ingest.batches import group_commit as make_group_commit
from timestore_pipeline.errors import DiskFull, LedgerBusy
from timestore_pipeline.ingest import threads as module
from timestore_pipeline.ingest.admission import Tally
from timestore_pipeline.ingest.threads import Housekeeper, Roller
from timestore_pipeline.staging import roll_up as roll_up_module
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.roll_up import RollUp
from timestore_pipeline.system import clock

_PATIENCE = 60.0  # seconds


@pytest.fixture
def roller(area: StagingArea) -> Iterator[Roller]:
    running = Roller(area)
    yield running
    running.stop()


def staged(area: StagingArea, *datasets: str) -> str:
    """The id of a closed journal with a batch of each dataset."""
    commits = make_group_commit(area)
    commits.commit([queued(area, readings(3), dataset=name) for name in datasets])
    commits.close_journal()
    return max(journal.journal_id for journal in area.ledger.journals.all())


def wait_until_rolled_up(area: StagingArea) -> None:
    end = clock.monotonic() + _PATIENCE
    while area.ledger.journals.all():
        assert clock.monotonic() < end, "the journals are still there"
        clock.sleep(0.01)


def wait_until_ended() -> None:
    for thread in _threads():
        thread.join(_PATIENCE)
    assert _threads() == []


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "timestore-roll-up"]


def test_a_closed_journal_becomes_segments_and_is_removed(area: StagingArea, roller: Roller) -> None:
    roller.add(staged(area, "d", "e"))
    wait_until_rolled_up(area)
    assert area.directory.journal_files() == []
    assert area.ledger.journals.datasets_waiting() == []
    for name in ("d", "e"):
        assert volumes(area, name)["pending"].rows == 3
        assert sum(segment_rows(area, name).values()) == 3
    wait_until_ended()


def test_the_thread_ends_with_the_last_journal_and_comes_again(area: StagingArea, roller: Roller) -> None:
    for _ in range(2):
        roller.add(staged(area, "d"))
        wait_until_rolled_up(area)
        wait_until_ended()
    assert sum(segment_rows(area).values()) == 6


def test_only_its_own_journal_is_rolled_up(area: StagingArea, roller: Roller) -> None:
    theirs, mine = staged(area, "d"), staged(area, "d")
    roller.add(mine)
    wait_until_ended()
    assert [journal.journal_id for journal in area.ledger.journals.all()] == [theirs]
    assert area.ledger.journals.datasets_waiting(theirs) == ["d"]


def test_after_an_error_it_is_tried_again(
    area: StagingArea, roller: Roller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_AGAIN", 0.01)
    roll_up, failed = roll_up_module.roll_up, threading.Event()

    def fails_once(*arguments: object, **more: object) -> RollUp:
        if failed.is_set():
            return roll_up(*arguments, **more)  # type: ignore[arg-type]
        failed.set()
        raise DiskFull("no space left", hint="")

    monkeypatch.setattr(roll_up_module, "roll_up", fails_once)
    journal_id = staged(area, "d")
    with caplog.at_level(logging.WARNING):
        roller.add(journal_id)
        wait_until_rolled_up(area)
    assert f"journal {journal_id} is not rolled up yet, trying again later: no space left" in caplog.text
    assert sum(segment_rows(area).values()) == 3


def test_a_second_journal_shortens_the_pause(
    area: StagingArea, roller: Roller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE_FACTOR", 1_000_000)
    first = staged(area, "d", "e")
    roller.add(first)
    end = clock.monotonic() + _PATIENCE
    while area.ledger.journals.datasets_waiting() != ["e"]:  # one dataset is done, the pause has begun
        assert clock.monotonic() < end
        clock.sleep(0.01)
    roller.add(staged(area, "d", "e"))
    while area.ledger.journals.datasets_waiting(first):
        assert clock.monotonic() < end, "the first journal still waits for its pause"
        clock.sleep(0.01)


def test_stopping_does_not_wait_for_the_pause_and_leaves_the_rest(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE_FACTOR", 1_000_000)
    roller = Roller(area)
    journal_id = staged(area, "d", "e")
    roller.add(journal_id)
    end = clock.monotonic() + _PATIENCE
    while area.ledger.journals.datasets_waiting() != ["e"]:
        assert clock.monotonic() < end
        clock.sleep(0.01)
    roller.stop()
    assert clock.monotonic() < end
    assert _threads() == []
    assert area.ledger.journals.datasets_waiting(journal_id) == ["e"]
    roller.add(journal_id)  # too late; a flush or the recovery does it
    assert _threads() == []
    assert sum(segment_rows(area, "e").values()) == 3


def test_an_idle_roller_has_no_thread(area: StagingArea, roller: Roller) -> None:
    assert _threads() == []
    roller.stop()


class Refreshes:
    """Counts the calls; the first of them fails where an error is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._happened = threading.Semaphore(0)

    def __call__(self) -> None:
        self._happened.release()
        error, self.error = self.error, None
        if error is not None:
            raise error

    def wait(self) -> None:
        assert self._happened.acquire(timeout=60)

    def happened(self) -> bool:
        return self._happened.acquire(blocking=False)


@pytest.fixture
def refreshes() -> Refreshes:
    return Refreshes()


@pytest.fixture
def other(area: StagingArea) -> Iterator[StagingArea]:
    """Another process's view: a connection's own changes are not what the marker is for."""
    with StagingArea(area.directory.root, area.shard) as opened:
        yield opened


@pytest.fixture
def housekeeper(area: StagingArea, refreshes: Refreshes) -> Iterator[Housekeeper]:
    running = Housekeeper(area, Tally(area.ledger.counters), refreshes)
    yield running
    running.stop()


def test_what_another_process_changes_is_looked_at(
    other: StagingArea, refreshes: Refreshes, housekeeper: Housekeeper
) -> None:
    refreshes.wait()  # at the start nothing was seen yet
    for name in ("d", "e"):
        other.ledger.datasets.ensure(name)
        refreshes.wait()


def test_a_ledger_that_does_not_change_is_not_looked_at_again(
    area: StagingArea, refreshes: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Semaphore(0)
    marker = type(area.ledger.database).change_marker

    def noted(database: object) -> int:
        looked.release()
        return marker(database)  # type: ignore[arg-type]

    monkeypatch.setattr(type(area.ledger.database), "change_marker", noted)
    running = Housekeeper(area, Tally(area.ledger.counters), refreshes)
    refreshes.wait()
    for _ in range(5):
        assert looked.acquire(timeout=60)
    running.stop()
    assert not refreshes.happened()


@pytest.mark.parametrize("error", [LedgerBusy("not now"), MemoryError()])
def test_a_ledger_that_does_not_answer_is_asked_again(
    other: StagingArea, refreshes: Refreshes, housekeeper: Housekeeper, error: Exception
) -> None:
    refreshes.wait()
    refreshes.error = error
    other.ledger.datasets.ensure("d")
    refreshes.wait()
    refreshes.wait()  # once more, though nothing has changed since


def test_stopping_writes_what_was_counted(area: StagingArea, refreshes: Refreshes) -> None:
    area.ledger.datasets.ensure("d")
    tally = Tally(area.ledger.counters)
    housekeeper = Housekeeper(area, tally, refreshes)
    tally.dropped("d", "queue_full")
    housekeeper.stop()
    assert counted(area, "dropped_batches_total") == {"queue_full": 1}
    assert not any(thread.name == "timestore-housekeeper" for thread in threading.enumerate())
