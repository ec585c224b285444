"""The door for producers: receipts, duplicates, limits, closing."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.ingest.batches import counted, journal_rows, publish, readings, segment_rows, volumes
from timestore_pipeline.errors import (
    DiskFull,
    GuardrailExceeded,
    IdempotencyConflict,
    InvalidData,
    InvalidInput,
    InvalidSettings,
    LedgerMismatch,
    ManagerClosed,
    QueueFull,
)
from timestore_pipeline.ingest import admission, group
from timestore_pipeline.ingest.catalog import DatasetCatalog
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.model.batch import StagedBatch
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import Journal, _translated
from timestore_pipeline.system import clock

LONG = timedelta(seconds=60)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The writer stands before its next group commit until it is set."""
    opened = threading.Event()
    commit = GroupCommit.commit

    def waits(commits: GroupCommit, batches: Any) -> None:
        assert opened.wait(60)
        commit(commits, batches)

    monkeypatch.setattr(GroupCommit, "commit", waits)
    yield opened
    opened.set()


def guarded(settings: Settings, limit: int, **more: Any) -> Settings:
    """Hard mode with a limit per dataset."""
    return Settings.build(
        home=settings.home,
        staging_max_dataset_bytes=limit,
        staging_flush_max_bytes=1_000,
        staging_guardrail_mode="hard",
        **more,
    )


def test_a_receipt_says_what_was_staged(area: StagingArea, manager: StagingManager) -> None:
    receipt = manager.enqueue("d", readings(3))
    assert (receipt.dataset, receipt.rows, receipt.duplicate) == ("d", 3, False)
    assert receipt.bytes == readings(3).nbytes
    backlog = area.backlog("d")
    assert (backlog.pending.rows, backlog.pending.bytes) == (3, receipt.bytes)
    assert backlog.oldest_pending_at == receipt.staged_at


@pytest.mark.parametrize(
    "data",
    [
        readings(2),
        readings(2).to_batches()[0],
        pa.RecordBatchReader.from_batches(readings(2).schema, readings(2).to_batches()),
        pl.from_arrow(readings(2)),
        readings(2).to_pandas(),
        pd.DataFrame({"value": [1.0, 2.0]}),
        [{"value": 1.0}, {"value": 2.0}],
        ({"value": float(n)} for n in range(2)),
    ],
    ids=lambda data: f"{type(data).__module__.split('.')[0]}.{type(data).__name__}",
)
def test_rows_come_in_many_forms(manager: StagingManager, data: object) -> None:
    assert manager.enqueue("d", data).rows == 2


def test_what_was_staged_lies_in_a_closed_journal_once_the_manager_is_closed(
    area: StagingArea, manager: StagingManager
) -> None:
    receipts = [manager.enqueue("d", readings(n + 1)) for n in range(5)]
    assert [journal.closed for journal in area.ledger.journals.all()] == [False]
    manager.close()
    assert journal_rows(area) == [(receipt.batch_id, receipt.rows) for receipt in receipts]
    assert [journal.closed for journal in area.ledger.journals.all()] == [True]
    assert segment_rows(area) == {receipt.batch_id: receipt.rows for receipt in receipts}
    assert area.directory.journal_files() == []


def test_seconds_in_place_of_a_timedelta_are_refused_before_the_queue_is_full(manager: StagingManager) -> None:
    with pytest.raises(InvalidInput, match=r"max_wait is 5\.0, not a timedelta"):
        manager.enqueue("d", readings(1), max_wait=5.0)  # type: ignore[arg-type]


def test_many_producers_of_many_datasets_lose_nothing(area: StagingArea, manager: StagingManager) -> None:
    def produce(name: str) -> int:
        futures = [manager.submit(name, readings(n % 3 + 1), max_wait=LONG) for n in range(40)]
        return sum(future.result(60).rows for future in futures)

    names = [f"d{n % 3}" for n in range(9)]
    with ThreadPoolExecutor(9) as pool:
        sent = sum(pool.map(produce, names))
    manager.close()
    assert sum(volumes(area, name)["pending"].rows for name in set(names)) == sent
    assert sum(sum(segment_rows(area, name).values()) for name in set(names)) == sent


def test_the_same_key_at_the_same_time_is_one_batch(area: StagingArea, manager: StagingManager) -> None:
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(manager.enqueue, "d", readings(2), idempotency_key="k") for _ in range(24)]
    receipts = [call.result() for call in calls]
    assert len({receipt.batch_id for receipt in receipts}) == 1
    assert [receipt.duplicate for receipt in receipts].count(False) == 1
    assert volumes(area)["accepted"].batches == 1


def test_two_managers_at_once_stage_a_key_once(area: StagingArea, settings: Settings, manager: StagingManager) -> None:
    with StagingManager.open(settings) as other, ThreadPoolExecutor(8) as pool:
        keys = [f"k{n}" for n in range(15)] * 4
        calls = [
            pool.submit((manager, other)[n % 2].enqueue, "d", readings(1), idempotency_key=key, max_wait=LONG)
            for n, key in enumerate(keys)
        ]
        receipts = [call.result() for call in calls]
    assert sum(not receipt.duplicate for receipt in receipts) == 15
    assert volumes(area)["accepted"].batches == 15


def test_a_key_outlives_publication_until_it_is_pruned(area: StagingArea, manager: StagingManager) -> None:
    first = manager.enqueue("d", readings(2), idempotency_key="k")
    manager.close()
    publish(area)
    with StagingManager.open(manager._settings) as later:
        again = later.enqueue("d", readings(2), idempotency_key="k")
        assert (again.duplicate, again.batch_id) == (True, first.batch_id)
        with pytest.raises(IdempotencyConflict):
            later.enqueue("d", readings(3), idempotency_key="k")
        area.ledger.published.prune("d", again.staged_at + timedelta(days=1))
        assert not later.enqueue("d", readings(2), idempotency_key="k").duplicate


def test_a_batch_that_cannot_be_written_fails_alone(
    area: StagingArea, manager: StagingManager, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = group._staged

    def refuses_two_rows(seen: Any, batch: QueuedBatch, now: datetime) -> StagedBatch:
        if batch.rows.num_rows == 2:
            raise InvalidData("no such rows")
        return staged(seen, batch, now)

    monkeypatch.setattr(group, "_staged", refuses_two_rows)
    manager.submit("e", readings(1))
    futures = [manager.submit("d", readings(rows)) for rows in (1, 2, 3)]
    gate.set()
    assert [future.exception(60) is None for future in futures] == [True, False, True]
    assert isinstance(futures[1].exception(), InvalidData)
    assert volumes(area)["accepted"].batches == 2


def test_each_refused_batch_is_counted_as_dropped_once(
    area: StagingArea, settings: Settings, gate: threading.Event
) -> None:
    small = settings.model_copy(update={"staging_max_pending": 2})
    manager = StagingManager.open(small)
    accepted = []
    refused: list[QueueFull] = []
    while len(refused) < 3:
        try:
            accepted.append(manager.submit("d", readings(1)))
        except QueueFull as full:
            refused.append(full)
    gate.set()
    manager.close()
    assert counted(area, "dropped_batches_total") == {"queue_full": 3}
    assert {future.result(0).rows for future in accepted} == {1}
    assert volumes(area)["accepted"].batches == len(accepted) <= 4


def test_a_producer_may_wait_for_room(area: StagingArea, settings: Settings, gate: threading.Event) -> None:
    with StagingManager.open(settings.model_copy(update={"staging_max_pending": 1})) as manager:
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(manager.enqueue, "d", readings(1), max_wait=LONG) for _ in range(8)]
            gate.set()
        assert [call.result().rows for call in calls] == [1] * 8
    assert counted(area, "dropped_batches_total") == {}


def test_a_full_queue_uses_up_no_guardrail(settings: Settings, gate: threading.Event) -> None:
    tight = guarded(settings, 10_000, staging_max_pending=1)
    size = readings(50).nbytes
    with StagingManager.open(tight) as manager:
        for _ in range(100 * 10_000 // size):
            try:
                manager.submit("d", readings(50))
            except QueueFull:
                continue
        gate.set()


def test_a_hard_guardrail_refuses_and_counts(
    area: StagingArea, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_MEASURE_EVERY", 0.0)
    monkeypatch.setattr(admission, "_PAUSE_FACTOR", 0)
    with StagingManager.open(guarded(settings, 40_000)) as manager:
        for rows in (2400, 100):  # 16 bytes each, and what lies in a journal counts
            manager.enqueue("d", readings(rows))
        with pytest.raises(GuardrailExceeded) as refused:
            manager.enqueue("d", readings(1))
        manager.enqueue("e", readings(1))
    assert refused.value.guardrail == "dataset_bytes"
    assert counted(area, "dropped_batches_total") == {"dataset_bytes": 1}


@pytest.mark.parametrize("key", ["", "x" * 513, "\ud800", 5, b"bytes"])
def test_a_key_the_ledger_cannot_hold_is_refused_in_its_own_call(
    area: StagingArea, manager: StagingManager, key: Any
) -> None:
    with pytest.raises(InvalidInput, match="idempotency key is a text of 1 to 512"):
        manager.submit("d", readings(1), idempotency_key=key)
    assert area.ledger.datasets.all() == []


@pytest.mark.parametrize("key", ["x" * 512, "nul\0", "'", "ключ", "\U0001f600"])
def test_any_other_text_is_a_key(manager: StagingManager, key: str) -> None:
    first = manager.enqueue("d", readings(1), idempotency_key=key)
    assert manager.enqueue("d", readings(1), idempotency_key=key).batch_id == first.batch_id


def test_what_was_acknowledged_is_rolled_up_by_another_process_while_producers_go_on(
    area: StagingArea, manager: StagingManager
) -> None:
    receipts = [manager.enqueue("d", readings(1))]
    for _ in range(5):
        receipts.append(manager.enqueue("d", readings(1)))
        assert sum(segment_rows(area).values()) == len(receipts)
        receipts.append(manager.enqueue("d", readings(1)))
    manager.close()
    assert segment_rows(area) == {receipt.batch_id: 1 for receipt in receipts}
    assert volumes(area)["pending"].rows == len(receipts)


def test_a_journal_that_has_grown_large_is_rolled_up_in_the_background(settings: Settings) -> None:
    small = settings.model_copy(update={"staging_segment_max_bytes": 1})
    with StagingManager.open(small) as manager, StagingArea(settings.staging_directory, settings.shard) as area:
        manager.enqueue("d", readings(1))
        manager.enqueue("d", readings(1))  # begins another journal
        end = clock.monotonic() + LONG.total_seconds()
        while not list(area.directory.segment_folder("d").glob("*.duckdb")) or len(area.directory.journal_files()) > 1:
            assert clock.monotonic() < end
            clock.sleep(0.01)
        assert volumes(area)["pending"].batches == 2
        assert sum(segment_rows(area).values()) == 2


def test_a_closed_manager_refuses_and_can_be_closed_again(manager: StagingManager) -> None:
    manager.enqueue("d", readings(1))
    manager.close()
    manager.close()
    for dataset in ("d", "new"):
        with pytest.raises(ManagerClosed):
            manager.enqueue(dataset, readings(1))


def test_closing_while_producers_send_acknowledges_or_refuses_each(area: StagingArea, manager: StagingManager) -> None:
    started = threading.Barrier(5)

    def produce(number: int) -> int:
        acknowledged = 0
        started.wait(60)
        try:
            for n in range(10_000):
                acknowledged += manager.enqueue(f"d{n % 4}", readings(1), max_wait=LONG).rows
        except ManagerClosed:
            return acknowledged
        raise AssertionError("the manager was never closed")

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(produce, number) for number in range(4)]
        started.wait(60)
        manager.enqueue("d0", readings(1), max_wait=LONG)
        manager.close()
        acknowledged = 1 + sum(call.result() for call in calls)
    names = [record.name for record in area.ledger.datasets.all()]
    assert sum(volume.rows for name in names if (volume := volumes(area, name).get("accepted"))) == acknowledged
    assert sum(sum(segment_rows(area, name).values()) for name in names) == acknowledged
    assert all(journal.closed for journal in area.ledger.journals.all())


def test_a_call_overtaken_by_close_is_refused(manager: StagingManager, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = DatasetCatalog.fit

    def overtaken(catalog: DatasetCatalog, dataset: str, rows: pa.Table) -> Any:
        fitted = fit(catalog, dataset, rows)
        manager.close()
        return fitted

    monkeypatch.setattr(DatasetCatalog, "fit", overtaken)
    with pytest.raises(ManagerClosed):
        manager.submit("new", readings(1))


def test_nothing_is_left_running_after_close(settings: Settings) -> None:
    before = set(threading.enumerate())
    with StagingManager.open(settings) as manager:
        manager.enqueue("d", readings(1))
    assert set(threading.enumerate()) <= before


def test_another_shards_directory_is_refused(settings: Settings, manager: StagingManager) -> None:
    with pytest.raises(LedgerMismatch):
        StagingManager.open(Settings.build(home=settings.home, shard="other"))


def test_a_total_guardrail_beyond_the_disk_is_refused(settings: Settings) -> None:
    with pytest.raises(InvalidSettings, match=r"TIMESTORE_STAGING_MAX_TOTAL_BYTES=.* does not fit the disk"):
        StagingManager.open(Settings.build(home=settings.home, staging_max_total_bytes=10**18))


def test_a_full_disk_is_told_and_counted_and_the_next_batch_is_staged(
    area: StagingArea, manager: StagingManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        with _translated(Path("some.journal")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        futures = [manager.submit("d", readings(1)) for _ in range(3)]
        assert all(isinstance(future.exception(60), DiskFull) for future in futures)
    assert manager.enqueue("d", readings(1)).rows == 1
    manager.close()
    assert counted(area, "dropped_batches_total") == {"disk_full": 3}
    assert volumes(area)["accepted"].batches == 1


def test_columns_without_rows_and_without_a_type_are_nothing(area: StagingArea, manager: StagingManager) -> None:
    header = pa.table({"at": pa.nulls(0), "n": pa.nulls(0)})
    manager.check("d", header)
    receipt = manager.enqueue("d", header, idempotency_key="k")
    assert (receipt.batch_id, receipt.rows, receipt.bytes, receipt.duplicate) == ("", 0, 0, False)
    assert area.ledger.datasets.find("d") is None
    assert not manager.enqueue("d", readings(1), idempotency_key="k").duplicate
    assert manager.enqueue("d", pa.table({"value": pa.nulls(0)})).batch_id


@pytest.mark.parametrize(("dataset", "names"), [("No Name", ["a"]), ("d", ["a", "A"]), ("d", [""])])
def test_nothing_needs_names_that_can_be(manager: StagingManager, dataset: str, names: list[str]) -> None:
    with pytest.raises(InvalidInput):
        manager.enqueue(dataset, pa.Table.from_arrays([pa.nulls(0)] * len(names), names=names))


def test_a_declared_column_without_rows_is_a_batch(area: StagingArea, manager: StagingManager) -> None:
    manager.set_metadata("d", {"schema": {"columns": {"n": "int64"}}})
    assert manager.enqueue("d", pa.table({"n": pa.nulls(0)})).batch_id
    assert area.ledger.datasets.get("d").schema == pa.schema([("n", pa.int64())])
