"""A phase over many flushes: in threads, in order, interrupted, one failing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import dagster as dg
import pytest

from timestore_pipeline.defs import flush_phases
from timestore_pipeline.defs.flush_phases import WorkerPool, run_phase
from timestore_pipeline.defs.handover import CarriedFlush, Handover
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.model.thresholds import FlushSettings, FlushThresholds

LOG = dg.get_dagster_logger()


def carried(*sizes: int) -> Handover:
    """Flushes of these sizes, in bytes, of datasets d0, d1 and so on."""
    settings = FlushSettings(FlushThresholds(0, 0, timedelta(0)))
    flushes = (CarriedFlush(FlushRef(f"d{k}", 1), settings, bytes=size) for k, size in enumerate(sizes))
    return Handover(tuple(flushes))


def unchanged(flush: CarriedFlush, _result: object) -> CarriedFlush:
    return flush


def run(
    before: Handover,
    work: Callable[[CarriedFlush], object],
    pool: WorkerPool,
    report: Callable[[CarriedFlush, object], CarriedFlush] = unchanged,
) -> Handover:
    return run_phase("done", before, work=work, report=report, log=LOG, pool=pool)


def names(handover: Handover) -> list[str]:
    return [flush.ref.dataset for flush in handover.flushes]


def test_small_flushes_run_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=30)
    result = run(carried(1, 1), lambda _: together.wait(), WorkerPool(threads=2, most_bytes=10))
    assert names(result) == ["d0", "d1"]


def test_a_large_flush_is_alone_in_the_runs_own_thread_after_the_small_ones() -> None:
    seen: list[tuple[str, bool]] = []

    def work(flush: CarriedFlush) -> None:
        seen.append((flush.ref.dataset, threading.current_thread() is threading.main_thread()))

    result = run(carried(99, 1, 1), work, WorkerPool(threads=2, most_bytes=10))
    assert sorted(seen[:2]) == [("d1", False), ("d2", False)]
    assert seen[2:] == [("d0", True)]
    assert names(result) == ["d0", "d1", "d2"]


def test_one_thread_and_one_flush_need_no_pool() -> None:
    threads: list[threading.Thread] = []

    def work(_flush: CarriedFlush) -> None:
        threads.append(threading.current_thread())

    run(carried(1, 1), work, WorkerPool(threads=1, most_bytes=10))
    run(carried(1), work, WorkerPool(threads=2, most_bytes=10))
    assert set(threads) == {threading.main_thread()}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_flush_that_fails_is_recorded_and_the_others_continue(threads: int) -> None:
    def work(flush: CarriedFlush) -> None:
        if flush.ref.dataset == "d1":
            raise OSError("broken")

    result = run(carried(1, 1, 1), work, WorkerPool(threads=threads, most_bytes=10))
    assert names(result) == ["d0", "d2"]
    assert [(failure.dataset, failure.message) for failure in result.failures] == [("d1", "OSError: broken")]


def test_an_interruption_begins_no_other_flush_and_waits_for_running_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    ended: list[str] = []
    go_on = threading.Event()

    class Pool(ThreadPoolExecutor):
        """The running flushes may continue once no other flush can begin."""

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            go_on.set()
            super().shutdown(wait)

    def work(flush: CarriedFlush) -> None:
        begun.append(flush.ref.dataset)
        if flush.ref.dataset != "d0":
            assert go_on.wait(30)
        ended.append(flush.ref.dataset)

    def interrupted(flush: CarriedFlush, _result: object) -> CarriedFlush:
        raise dg.DagsterExecutionInterruptedError

    monkeypatch.setattr(flush_phases, "ThreadPoolExecutor", Pool)
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        run(carried(*[1] * 9), work, WorkerPool(threads=2, most_bytes=10), interrupted)
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 9


def test_a_long_phase_logs_its_progress(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    run(carried(1, 1), lambda _: None, WorkerPool())
    assert not caplog.records
    monkeypatch.setattr(flush_phases, "LOG_EVERY", 0.0)
    run(carried(1, 1), lambda _: None, WorkerPool())
    assert [record.getMessage().rsplit(" ", 1)[0] for record in caplog.records] == [
        "flushes done flushes=1 of=2",
        "flushes done flushes=2 of=2",
    ]
