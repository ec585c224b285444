"""The thread that notices what others change in the ledger, and writes counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.ingest.batches import counted
from timestore_pipeline.errors import LedgerBusy
from timestore_pipeline.ingest.housekeeper import Housekeeper
from timestore_pipeline.ingest.tally import Tally
from timestore_pipeline.staging.area import StagingArea


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
