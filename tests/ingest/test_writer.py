"""A dataset's writer thread: started when needed, ended when idle, never missed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.ingest.batches import queued, readings, volumes
from timestore_pipeline.errors import ManagerClosed, RetryLater
from timestore_pipeline.ingest import writer as writer_module
from timestore_pipeline.ingest.catalog import DatasetCatalog
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.writer import DatasetWriter
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.engine import open_engine

NOW = timedelta(0)
LONG = timedelta(seconds=60)


@pytest.fixture
def writer(area: StagingArea) -> Iterator[DatasetWriter]:
    with open_engine() as engine:
        opened = DatasetWriter("d", GroupCommit(area, engine.cursor, 10_000_000, DatasetCatalog(area.ledger).refit), 4)
        yield opened
        opened.close()


def _writer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "timestore-writer-d"]


def test_an_idle_writer_has_no_thread_and_its_segment_is_sealed(
    area: StagingArea, writer: DatasetWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_IDLE", NOW)
    writer.put(queued(area, readings(1)), NOW).result(60)
    for thread in _writer_threads():
        thread.join(60)
    assert _writer_threads() == []
    assert area.ledger.segments.open_segments("d") == []


def test_a_writer_that_idles_out_all_the_time_loses_nothing(
    area: StagingArea, writer: DatasetWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_IDLE", NOW)
    batches = [queued(area, readings(1), f"k{n}") for n in range(120)]

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
    assert volumes(area)["pending"].batches == 120
    assert area.ledger.segments.open_segments("d") == []


def test_closing_stages_what_is_queued_and_refuses_more(area: StagingArea, writer: DatasetWriter) -> None:
    batches = [queued(area, readings(1)) for _ in range(4)]
    for batch in batches:
        writer.put(batch, NOW)
    writer.close()
    assert all(batch.receipt.result(0) for batch in batches)
    with pytest.raises(ManagerClosed):
        writer.put(queued(area, readings(1)), NOW)
    assert [segment.sealed for segment in area.ledger.segments.of_dataset("d")] == [True]
    assert _writer_threads() == []


def test_without_a_thread_a_batch_is_refused_and_the_next_one_works(
    area: StagingArea, writer: DatasetWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        with pytest.raises(RetryLater, match="can't start new thread"):
            writer.put(queued(area, readings(1)), NOW)
        with pytest.raises(RetryLater):
            writer.want_seal("s")
    assert writer.put(queued(area, readings(1)), NOW).result(60).rows == 1
    assert volumes(area)["accepted"].batches == 1


def test_a_seal_that_fails_does_not_end_the_writer(
    area: StagingArea, writer: DatasetWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "_IDLE", NOW)

    def fails(*_: object) -> None:
        raise RuntimeError("?")

    with monkeypatch.context() as patch:
        patch.setattr(type(area.ledger.segments), "mark_sealed", fails)
        writer.put(queued(area, readings(1)), NOW).result(60)
        for thread in _writer_threads():
            thread.join(60)
    assert "trying again later" in caplog.text
    writer.put(queued(area, readings(1)), NOW).result(60)
    writer.close()
    assert [segment.sealed for segment in area.ledger.segments.of_dataset("d")] == [True, True]


def test_a_segment_that_was_opened_after_the_wish_is_not_sealed_for_it(
    area: StagingArea, writer: DatasetWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_IDLE", LONG)

    def staged() -> str:
        return writer.put(queued(area, readings(1)), NOW).result(60).batch_id.rpartition("-")[0]

    first = staged()
    writer.want_seal(first)
    while (second := staged()) == first:
        continue
    writer.want_seal(first)  # asked for again before the ledger said that it is sealed
    assert [staged(), staged(), staged()] == [second] * 3
    writer.want_seal(second)
    while staged() == second:
        continue
