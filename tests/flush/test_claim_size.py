"""An export that runs out of memory: the next claim is smaller, until it fits, and grows again when it does."""

from __future__ import annotations

import pyarrow as pa
import pytest

from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import BatchTooLarge, OutOfMemory, TimestoreError
from timestore_pipeline.model.flush import Flush, Trigger
from timestore_pipeline.wiring import Timestore

WIDE = 4_000_000  # characters: sixteen rows fill the 64 MiB that an export may take here several times over


@pytest.fixture
def cramped(settings: Settings) -> Settings:
    return settings.model_copy(update={"export_memory_mb": 64})


def stage(settings: Settings, batches: int, width: int = WIDE) -> None:
    with StagingManager.open(settings) as staging:
        for number in range(batches):
            staging.enqueue("d", pa.table({"text": [f"{number:0{width}}"]}))


def attempt(store: Timestore) -> Flush | TimestoreError | None:
    try:
        return store.flush("d", Trigger.MANUAL, "run")
    except TimestoreError as error:
        return error


def test_claims_are_halved_until_they_fit_and_everything_is_published(cramped: Settings) -> None:
    stage(cramped, 8)
    with Timestore(cramped) as store:
        first = attempt(store)
        assert isinstance(first, OutOfMemory)
        outcomes = [attempt(store) for _ in range(20) if store.status("d").backlog.queued.batches]
        assert sum(flush.volume.batches for flush in outcomes if isinstance(flush, Flush)) == 8
        assert store.lake.table("d").to_arrow_dataset().count_rows() == 8


def test_a_claim_grows_by_a_quarter_with_each_success_until_it_is_as_large_as_any(cramped: Settings) -> None:
    with Timestore(cramped) as store:
        usual = store.export_options().sortable_bytes
        stage(cramped, 1, width=10)
        store.area.ledger.flush_failures.limit_claims("d", usual // 2)
        attempt(store)
        narrowed = store.area.ledger.flush_failures.most_claim_bytes("d")
        assert narrowed == usual // 2 * 5 // 4 + 1
        store.area.ledger.flush_failures.limit_claims("d", 2**40)
        stage(cramped, 1, width=11)
        attempt(store)
        assert store.area.ledger.flush_failures.most_claim_bytes("d") is None


def test_a_batch_that_does_not_fit_alone_blocks_its_dataset_with_the_setting_that_helps(
    cramped: Settings, settings: Settings
) -> None:
    stage(cramped, 2, width=20_000_000)
    with Timestore(cramped) as store:
        errors = [attempt(store) for _ in range(2)]
        assert [type(error) for error in errors] == [OutOfMemory, BatchTooLarge]
        told = store.status("d").decision.reason
        assert told.startswith("blocked: batch ")
        assert "raise TIMESTORE_EXPORT_MEMORY_MB" in told
    with Timestore(settings) as roomy:  # a new process, with more memory
        assert "blocked" not in roomy.status("d").decision.reason
        while roomy.status("d").backlog.queued.batches:
            assert isinstance(attempt(roomy), Flush)


def test_a_batch_that_failed_in_a_share_of_the_memory_is_tried_with_all_of_it_before_it_is_blocked(
    cramped: Settings,
) -> None:
    stage(cramped, 1, width=20_000_000)
    with Timestore(cramped) as store:
        assert isinstance(attempt(store), OutOfMemory)
        assert store.status("d").backlog.block is None
        assert store.area.ledger.flush_failures.most_claim_bytes("d") is not None
