"""The thread that answers seal requests and writes counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from tests.ingest.batches import counted
from timestore_pipeline.errors import LedgerBusy
from timestore_pipeline.ingest.housekeeper import Housekeeper
from timestore_pipeline.ingest.tally import Tally
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.segments import SegmentRecord, Segments


class Asked:
    """Datasets whose seal was asked for, in order; waits for the next one."""

    def __init__(self) -> None:
        self._datasets: SimpleQueue[str] = SimpleQueue()

    def __call__(self, dataset: str, _segment_id: str) -> None:
        self._datasets.put(dataset)

    def next(self) -> str:
        return self._datasets.get(timeout=60)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def housekeeper(area: StagingArea, asked: Asked) -> Iterator[Housekeeper]:
    running = Housekeeper(area, Tally(area.ledger.counters), asked, lambda: None)
    yield running
    running.stop()


def _open(area: StagingArea, dataset: str, owner: str) -> None:
    dataset_id = area.ledger.datasets.ensure(dataset).dataset_id
    area.ledger.segments.register(f"{dataset}-{owner}", dataset_id, owner)


def test_only_requests_for_this_process_are_answered(area: StagingArea, asked: Asked, housekeeper: Housekeeper) -> None:
    _open(area, "theirs", "someone")
    _open(area, "mine", area.identity.process_id)
    for dataset in ("theirs", "mine"):
        area.ledger.segments.request_seal(dataset)
    assert asked.next() == "mine"


@pytest.mark.parametrize("error", [LedgerBusy("not now"), MemoryError()])
def test_a_ledger_that_does_not_answer_is_asked_again(
    area: StagingArea, asked: Asked, housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failed = threading.Event()
    answer = Segments.seal_requests

    def fails_once(segments: Segments, owner: str) -> list[SegmentRecord]:
        if not failed.is_set():
            failed.set()
            raise error
        return answer(segments, owner)

    monkeypatch.setattr(Segments, "seal_requests", fails_once)
    _open(area, "mine", area.identity.process_id)
    area.ledger.segments.request_seal("mine")
    assert asked.next() == "mine"
    assert failed.is_set()


def test_stopping_writes_what_was_counted(area: StagingArea, asked: Asked) -> None:
    area.ledger.datasets.ensure("d")
    tally = Tally(area.ledger.counters)
    housekeeper = Housekeeper(area, tally, asked, lambda: None)
    tally.dropped("d", "queue_full")
    housekeeper.stop()
    assert counted(area, "dropped_batches_total") == {"queue_full": 1}
    assert not any(thread.name == "timestore-housekeeper" for thread in threading.enumerate())
