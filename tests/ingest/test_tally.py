"""Counts on their way to the ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ingest.batches import counted
from timestore_pipeline.ingest.admission import Tally
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger import database


@pytest.fixture
def tally(area: StagingArea) -> Tally:
    area.ledger.datasets.ensure("d")
    return Tally(area.ledger.counters)


def test_counts_gather_until_they_are_written(area: StagingArea, tally: Tally) -> None:
    with ThreadPoolExecutor(4) as pool:
        for _ in range(100):
            pool.submit(tally.dropped, "d", "queue_full")
    tally.guardrail_exceeded("d", "total_bytes")
    assert area.ledger.counters.all() == []
    tally.write()
    tally.write()
    assert counted(area, "dropped_batches_total") == {"queue_full": 100}
    assert counted(area, "guardrail_exceeded_total") == {"total_bytes": 1}


def test_what_cannot_be_written_now_is_written_later(
    area: StagingArea, tally: Tally, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tally.dropped("d", "queue_full")
    with StagingArea(area.directory.root, area.shard) as other, monkeypatch.context() as patch:
        patch.setattr(database, "_BUSY_TIMEOUT", 0.0)
        with other.ledger.database.transaction():
            tally.write()
    assert "dropped_batches_total of d waits" in caplog.text
    tally.dropped("d", "queue_full")
    tally.write()
    assert counted(area, "dropped_batches_total") == {"queue_full": 2}
