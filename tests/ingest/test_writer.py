"""The writer thread of a process: started when needed, ended when idle, never missed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.ingest.batches import group_commit, queued, readings, volumes
from timestore_pipeline.errors import ManagerClosed, RetryLater
from timestore_pipeline.ingest import threads as module
from timestore_pipeline.ingest.threads import BatchWriter
from timestore_pipeline.staging.area import StagingArea

NOW = timedelta(0)
LONG = timedelta(seconds=60)


@pytest.fixture
def writer(area: StagingArea) -> Iterator[BatchWriter]:
    opened = BatchWriter(group_commit(area), 4)
    yield opened
    opened.close()


def _writer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "timestore-writer"]


def _wait_until_idle() -> None:
    for thread in _writer_threads():
        thread.join(60)
    assert _writer_threads() == []


def _open_journals(area: StagingArea) -> list[str]:
    return [journal.journal_id for journal in area.ledger.journals.all() if not journal.closed]


def test_an_idle_writer_has_no_thread_and_its_journal_is_closed(
    area: StagingArea, writer: BatchWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE", NOW)
    writer.put(queued(area, readings(1)), NOW).result(60)
    _wait_until_idle()
    assert len(area.ledger.journals.all()) == 1
    assert _open_journals(area) == []


def test_many_datasets_have_one_thread_and_one_journal(area: StagingArea, writer: BatchWriter) -> None:
    receipts = [writer.put(queued(area, readings(1), dataset=f"d{n}"), LONG) for n in range(30)]
    assert len(_writer_threads()) == 1
    assert {receipt.result(60).rows for receipt in receipts} == {1}
    assert len(area.ledger.journals.all()) == 1
    assert len(area.ledger.journals.datasets_waiting()) == 30


def test_a_writer_that_idles_out_all_the_time_loses_nothing(
    area: StagingArea, writer: BatchWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE", NOW)
    batches = [queued(area, readings(1), f"k{n}", f"d{n % 2}") for n in range(120)]

    def produce(start: int) -> None:
        for batch in batches[start::3]:
            writer.put(batch, LONG)
            if start == 0:
                batch.receipt.result(60)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(produce, start) for start in range(3)]:
            done.result()
    writer.close()
    assert {batch.receipt.result(0).rows for batch in batches} == {1}
    assert [volumes(area, name)["pending"].batches for name in ("d0", "d1")] == [60, 60]
    assert _open_journals(area) == []


def test_closing_stages_what_is_queued_and_refuses_more(area: StagingArea, writer: BatchWriter) -> None:
    batches = [queued(area, readings(1)) for _ in range(4)]
    for batch in batches:
        writer.put(batch, NOW)
    writer.close()
    assert all(batch.receipt.result(0) for batch in batches)
    with pytest.raises(ManagerClosed):
        writer.put(queued(area, readings(1)), NOW)
    assert _open_journals(area) == []
    assert _writer_threads() == []


def test_without_a_thread_a_batch_is_refused_and_the_next_one_works(
    area: StagingArea, writer: BatchWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        with pytest.raises(RetryLater, match="can't start new thread"):
            writer.put(queued(area, readings(1)), NOW)
    assert writer.put(queued(area, readings(1)), NOW).result(60).rows == 1
    assert volumes(area)["accepted"].batches == 1


def test_a_journal_that_cannot_be_closed_does_not_end_the_writer(
    area: StagingArea, writer: BatchWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_IDLE", NOW)

    def fails(*_: object) -> None:
        raise RuntimeError("?")

    with monkeypatch.context() as patch:
        patch.setattr(type(area.ledger.journals), "close", fails)
        writer.put(queued(area, readings(1)), NOW).result(60)
        _wait_until_idle()
    assert "trying again later" in caplog.text
    assert len(_open_journals(area)) == 1
    writer.put(queued(area, readings(1)), NOW).result(60)
    writer.close()
    assert len(area.ledger.journals.all()) == 2
    assert _open_journals(area) == []
