"""The queue between producers and a consumer that comes and goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.ingest.batches import readings
from timestore_pipeline.errors import ManagerClosed, QueueFull, RetryLater
from timestore_pipeline.ingest import queue as module
from timestore_pipeline.ingest.catalog import Fitted
from timestore_pipeline.ingest.queue import BatchQueue, QueuedBatch
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord

RECORD = DatasetRecord(1, "d", DatasetMetadata(), None, 0, None, None, False, 0, datetime(2026, 1, 1, tzinfo=UTC))
NOW = timedelta(0)
LONG = timedelta(seconds=60)


def batch(dataset: str = "d", size: int = 16) -> QueuedBatch:
    return QueuedBatch(Fitted(replace(RECORD, name=dataset), readings(1), 0), readings(1), None, size)


class Starts:
    """Counts how often a consumer was asked for; the test is the consumer."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def starts() -> Starts:
    return Starts()


@pytest.fixture
def queue(starts: Starts) -> BatchQueue:
    return BatchQueue(2, starts)


def _in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_everything_that_waits_is_taken_at_once_and_in_order(queue: BatchQueue, starts: Starts) -> None:
    waiting = [batch(name) for name in ("d", "e", "d", "f")]
    for one in waiting:
        queue.put(one, NOW)
    assert queue.take(NOW) == waiting
    assert starts.count == 1


def test_a_full_queue_refuses_and_says_what_to_do(queue: BatchQueue) -> None:
    queue.put(batch(), NOW)
    queue.put(batch(), NOW)
    with pytest.raises(QueueFull, match="'d' has 2 batches waiting") as refused:
        queue.put(batch(), NOW)
    assert refused.value.dataset == "d"
    assert "TIMESTORE_STAGING_MAX_PENDING" in refused.value.hint
    assert len(queue.take(NOW)) == 2
    queue.put(batch(), NOW)


def test_one_dataset_takes_no_room_from_another(queue: BatchQueue) -> None:
    for name in ("d", "d", "e", "e"):
        queue.put(batch(name), NOW)
    for name in ("d", "e"):
        with pytest.raises(QueueFull, match=f"'{name}' has 2"):
            queue.put(batch(name), NOW)
    queue.put(batch("f"), NOW)
    assert len(queue.take(NOW)) == 5


def test_a_group_is_bounded_in_bytes_and_the_rest_follows(queue: BatchQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GROUP_BYTES", 100)
    waiting = [batch("d", 60), batch("e", 60), batch("d", 10), batch("e", 1000), batch("f", 1)]
    for one in waiting:
        queue.put(one, NOW)
    assert queue.take(NOW) == waiting[:2]
    queue.put(batch("d"), NOW)  # its two places are free again but for one
    with pytest.raises(QueueFull):
        queue.put(batch("d"), NOW)
    assert queue.take(NOW) == waiting[2:4]
    assert queue.take(NOW)[0] is waiting[4]
    for _ in range(2):
        queue.put(batch("d"), NOW)


def test_a_producer_that_waits_gets_the_room_that_becomes_free(queue: BatchQueue) -> None:
    queue.put(batch(), NOW)
    queue.put(batch(), NOW)
    late = batch()
    producer = _in_thread(lambda: queue.put(late, LONG))
    taken = queue.take(LONG)
    producer.join()
    assert late in taken + queue.take(LONG)


def test_a_producer_that_waits_when_the_queue_closes_is_refused(queue: BatchQueue) -> None:
    queue.put(batch(), NOW)
    queue.put(batch(), NOW)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(queue.put, batch(), LONG) for _ in range(3)]
        closing = pool.submit(queue.close)
        assert all(isinstance(put.exception(), ManagerClosed) for put in waiting)
        assert len(queue.take(NOW)) == 2
        assert queue.try_stop()
        closing.result()


def test_a_closed_queue_refuses_but_gives_out_what_it_has(queue: BatchQueue) -> None:
    queue.put(batch(), NOW)
    closing = _in_thread(queue.close)
    while True:
        try:
            queue.put(batch(), NOW)
        except ManagerClosed:
            break
        except QueueFull:
            continue
    assert queue.take(LONG)
    assert queue.take(LONG) == []
    assert queue.try_stop()
    closing.join()


def test_closing_an_idle_queue_waits_for_nothing(queue: BatchQueue, starts: Starts) -> None:
    queue.close()
    queue.close()
    assert starts.count == 0


def test_a_consumer_is_started_again_after_it_stopped(queue: BatchQueue, starts: Starts) -> None:
    queue.put(batch(), NOW)
    queue.take(NOW)
    assert queue.try_stop()
    queue.put(batch(), NOW)
    assert starts.count == 2


def test_a_consumer_cannot_stop_while_something_waits(queue: BatchQueue, starts: Starts) -> None:
    queue.put(batch(), NOW)
    queue.take(NOW)
    queue.put(batch(), NOW)
    assert not queue.try_stop()
    assert queue.take(NOW)
    assert queue.take(NOW) == []
    assert queue.try_stop()
    assert starts.count == 1


def test_without_a_consumer_nothing_is_queued() -> None:
    calls = []

    def fails_once() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RetryLater("no thread")

    queue = BatchQueue(1, fails_once)
    with pytest.raises(RetryLater):
        queue.put(batch(), NOW)
    assert queue.take(NOW) == []
    queue.put(batch(), NOW)
    assert len(calls) == 2
    assert len(queue.take(NOW)) == 1


def test_no_batch_is_lost_or_taken_twice_while_consumers_come_and_go() -> None:
    taken: list[QueuedBatch] = []
    busy = BatchQueue(3, lambda: threading.Thread(target=consume, daemon=True).start())
    running = threading.Semaphore(1)

    def consume() -> None:
        assert running.acquire(blocking=False), "two consumers at once"
        while True:
            group = busy.take(NOW)
            taken.extend(group)
            if not group:
                running.release()
                if busy.try_stop():
                    return
                assert running.acquire(blocking=False), "two consumers at once"

    def produce(number: int) -> list[QueuedBatch]:
        mine = [batch(f"d{number % 3}") for _ in range(150)]
        for one in mine:
            busy.put(one, LONG)
        return mine

    with ThreadPoolExecutor(6) as pool:
        sent = [one for mine in pool.map(produce, range(6)) for one in mine]
    busy.close()
    assert len(taken) == len(sent) == 900
    assert {id(one) for one in taken} == {id(one) for one in sent}
