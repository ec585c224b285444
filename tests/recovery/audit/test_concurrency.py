"""The audit reports no false problems beside producers and flushes, at any moment."""

from __future__ import annotations

import threading

import pytest

from tests.recovery.audit.books import readings
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

_FLUSHES = 15


@pytest.fixture
def stopped() -> threading.Event:
    return threading.Event()


def test_books_are_in_order_while_rows_come_and_go(settings: Settings, stopped: threading.Event) -> None:
    workers = [threading.Thread(target=work, args=(settings, stopped)) for work in (keep_staging, keep_flushing)]
    for worker in workers:
        worker.start()
    try:
        with Timestore(settings) as store:
            reports = [verify(store.area, store.lake)]
            while len(store.area.ledger.flushes.history()) < _FLUSHES:
                reports.append(verify(store.area, store.lake))
            stopped.set()
            for worker in workers:
                worker.join()
            reports.append(verify(store.area, store.lake))
    finally:
        stopped.set()
    findings = [finding for report in reports for audit in report.datasets for finding in audit.problems]
    assert findings == []
    assert [audit.warnings for audit in reports[-1].datasets] == [[]]
    assert reports[-1].datasets[0].published_rows > 0


def keep_staging(settings: Settings, stopped: threading.Event) -> None:
    """A segment holds a few batches only, so that there are always some sealed ones to read."""
    small = settings.model_copy(update={"staging_segment_max_bytes": 4096})
    with Timestore(small) as store, store.staging() as staging:
        while not stopped.is_set():
            staging.enqueue("weather", readings(20))


def keep_flushing(settings: Settings, stopped: threading.Event) -> None:
    with Timestore(settings) as store:
        store.area.ledger.datasets.ensure("weather")
        while not stopped.is_set():
            store.flush("weather", Trigger.MANUAL, "test")
