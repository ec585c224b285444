"""A dataset is laid out by the first time that comes, or that is declared; a flush that comes earlier says so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import InvalidMetadata, LayoutUndecided
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.model.flush import Flush, Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.wiring import Timestore, rebuild_if_lost

AT = datetime(2026, 1, 1, 5, tzinfo=UTC)
TYPED_NULL = pa.table({"at": pa.array([None], pa.timestamp("us", "UTC")), "v": [1]})
WITHOUT_TIME = [[{"v": 1}], [{"at": None, "v": 1}], TYPED_NULL, TYPED_NULL.slice(0, 0)]


def stage(settings: Settings, *batches: Any) -> None:
    """Each by a process of its own, as far as one process can have it."""
    for batch in batches:
        with StagingManager.open(settings) as manager:
            manager.enqueue("d", batch)


def flush(store: Timestore) -> Flush | None:
    return store.flush("d", Trigger.MANUAL, "run")


def partitions(store: Timestore) -> dict[Any, list[int]]:
    """Partition -> the values in it."""
    table = store.lake.table("d").to_arrow_dataset().to_table()
    assert verify(store.area, store.lake).ok
    found: dict[Any, list[int]] = {}
    for value, partition in zip(table["v"].to_pylist(), table["partition_date"].to_pylist(), strict=True):
        found.setdefault(partition, []).append(value)
    return found


@pytest.mark.parametrize("first", WITHOUT_TIME, ids=["none", "null", "typed-null", "no-rows"])
def test_a_first_batch_without_time_leaves_the_layout_to_one_that_has_it(settings: Settings, first: Any) -> None:
    stage(settings, first)
    with Timestore(settings) as store:
        record = store.area.ledger.datasets.get("d")
        assert (record.time_column, record.granularity) == (None, None)
    stage(settings, [{"at": AT, "v": 2}])
    with Timestore(settings) as store:
        flush(store)
        rows = 0 if isinstance(first, pa.Table) and first.num_rows == 0 else 1
        assert partitions(store) == {AT.date(): [2]} | ({None: [1]} if rows else {})


def test_a_query_reads_rows_whose_layout_is_open(settings: Settings) -> None:
    stage(settings, [{"v": 1, "tags": []}])
    with Timestore(settings) as store, store.query("SELECT v, tags FROM d") as answer:
        assert answer.rows.read_all().to_pylist() == [{"v": 1, "tags": []}]


def test_a_flush_that_has_to_decide_publishes_without_partitions_and_says_so(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    stage(settings, [{"v": 1}])
    with Timestore(settings) as store:
        flush(store)
        assert store.lake.table("d").partition_columns() == []
        assert store.area.ledger.datasets.get("d").granularity is Granularity.NONE
    assert "published without partitions dataset=d" in caplog.text
    assert "timestore datasets set d timeColumn=COLUMN" in caplog.text
    caplog.clear()
    stage(settings, [{"at": AT, "v": 2}])
    with Timestore(settings) as store:
        flush(store)
        assert verify(store.area, store.lake).ok
    assert "without partitions" not in caplog.text


def test_who_wants_no_partitions_is_not_warned(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with Timestore(settings) as store:
        store.set_metadata("d", {"partition": {"granularity": "none"}})
        stage(settings, [{"v": 1}])
        flush(store)
    assert "without partitions" not in caplog.text


def test_a_dataset_can_wait_for_its_first_time(settings: Settings) -> None:
    with Timestore(settings) as store:
        store.set_metadata("d", {"partition": {"undecided": "wait"}, "staging": {"flush": {"maxRows": 1}}})
        stage(settings, [{"v": 1}])
        decision = store.status("d").decision
        assert not decision.due
        assert "no batch that was staged has a time in any row" in decision.reason
        with pytest.raises(LayoutUndecided, match="timeColumn=COLUMN"):
            flush(store)
        assert store.status("d").backlog.block is None
        stage(settings, [{"at": AT, "v": 2}])
        assert store.status("d").decision.due
        flush(store)
        assert partitions(store) == {None: [1], AT.date(): [2]}


def test_a_time_column_that_is_declared_with_its_type_decides_at_once(settings: Settings) -> None:
    with Timestore(settings) as store:
        store.set_metadata("d", {"time_column": "at", "schema": {"columns": {"at": "timestamp"}}})
        stage(settings, [{"v": 1}])
        assert store.area.ledger.datasets.get("d").time_column == "at"
        flush(store)
        stage(settings, [{"at": AT, "v": 2}])
        flush(store)
        assert partitions(store) == {None: [1], AT.date(): [2]}


def test_a_column_can_be_named_until_a_flush_has_begun(settings: Settings) -> None:
    stage(settings, [{"created": AT.replace(year=2020), "at": AT, "v": 1}])
    with Timestore(settings) as store:
        store.set_metadata("d", {"time_column": "at"})
        flush(store)
        assert partitions(store) == {AT.date(): [1]}
        with pytest.raises(InvalidMetadata, match="laid out by 'at' per day"):
            store.set_metadata("d", {"time_column": "created"})


@pytest.mark.parametrize("late", [True, False], ids=["decided-later", "still-open"])
def test_a_rebuilt_ledger_has_the_layout_or_leaves_it_open(settings: Settings, late: bool) -> None:
    stage(
        settings, TYPED_NULL, *([TYPED_NULL.set_column(0, "at", pa.array([AT], TYPED_NULL["at"].type))] if late else [])
    )
    (settings.staging_directory / "ledger.sqlite").unlink()
    assert rebuild_if_lost(settings) is not None
    with Timestore(settings) as store:
        record = store.area.ledger.datasets.get("d")
        assert (record.time_column, record.granularity) == (("at", Granularity.DAY) if late else (None, None))
    stage(settings, [{"at": AT, "v": 2}])
    with Timestore(settings) as store:
        flush(store)
        assert partitions(store)[None] == [1]
