"""A batch changes its dataset with its promise: what is refused leaves no trace, what is staged keeps its values."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from tests.ingest.batches import group_commit, journal_rows, queued, readings, segment_rows, volumes
from tests.staging.rolled import roll_up_all
from timestore_pipeline.errors import (
    DiskFull,
    GuardrailExceeded,
    IdempotencyConflict,
    QueueFull,
    SchemaConflict,
    TimestoreError,
)
from timestore_pipeline.ingest import group as module
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.maintain.dataset_maintenance import maintain
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import Journal
from timestore_pipeline.staging.journal_records import Encoded
from timestore_pipeline.wiring import Timestore, rebuild_if_lost, reconcile_restored

AT = datetime(2026, 1, 1, tzinfo=UTC)
NEW = {"extra": pa.int64()}


def standing(area: StagingArea) -> tuple[object, ...]:
    """Nothing for a dataset that does not exist."""
    record = area.ledger.datasets.find("d")
    return () if record is None else (record.schema, record.schema_version, record.time_column, record.granularity)


def rows(*values: Any) -> list[dict[str, Any]]:
    return [{"at": AT, "v": value} for value in values]


def published(settings: Settings, name: str = "v") -> list[Any]:
    """The column's values after everything staged was flushed, of which nothing was set aside."""
    with Timestore(settings) as store:
        store.flush("d", Trigger.MANUAL, "run")
        assert store.area.ledger.incidents.all("d") == []
        with store.query(f"SELECT {name} FROM d") as answer:
            queried = answer.rows.read_all()[name].to_pylist()
        found: list[Any] = store.lake.table("d").to_arrow_dataset().to_table()[name].to_pylist()
        assert sorted(queried, key=str) == sorted(found, key=str)
        return found


@pytest.mark.parametrize("first", [True, False], ids=["first-batch", "later-batch"])
def test_a_batch_that_cannot_be_written_leaves_no_trace(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    commits = group_commit(area)
    if not first:
        commits.commit([queued(area, readings(1))])
    batch = queued(area, readings(1, **NEW))
    before = standing(area)

    def refuses(*_: object) -> None:
        raise pa.ArrowInvalid("no such rows")

    monkeypatch.setattr(module, "encode", refuses)
    commits.commit([batch])
    assert isinstance(batch.receipt.exception(0), TimestoreError)
    assert standing(area) == before


def test_a_duplicate_and_a_conflicting_key_leave_no_trace(area: StagingArea) -> None:
    commits = group_commit(area)
    commits.commit([queued(area, readings(1), "k")])
    before = standing(area)
    again, other = queued(area, readings(1, **NEW), "k"), queued(area, readings(2, **NEW), "k")
    commits.commit([again, other])
    assert again.receipt.result(0).duplicate
    assert isinstance(other.receipt.exception(0), IdempotencyConflict)
    assert standing(area) == before


def test_a_duplicate_that_another_process_staged_meanwhile_leaves_no_trace(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, rival = group_commit(area), group_commit(area)
    commits.commit([queued(area, readings(1))])
    append = Journal.append

    def late(journal: Journal, records: Sequence[Encoded]) -> list[int]:
        monkeypatch.undo()
        rival.commit([queued(area, readings(1), "k")])
        return append(journal, records)

    monkeypatch.setattr(Journal, "append", late)
    before = standing(area)
    mine = queued(area, readings(1, **NEW), "k")
    commits.commit([mine])
    assert mine.receipt.result(0).duplicate
    assert standing(area) == before
    assert set(segment_rows(area)) >= {mine.receipt.result(0).batch_id}


def test_a_cancelled_batch_leaves_no_trace(area: StagingArea) -> None:
    commits = group_commit(area)
    commits.commit([queued(area, readings(1))])
    before = standing(area)
    batch = queued(area, readings(1, **NEW))
    batch.receipt.cancel()
    commits.commit([batch])
    assert standing(area) == before


def test_a_batch_that_the_guardrail_refuses_leaves_no_trace(settings: Settings, area: StagingArea) -> None:
    with StagingManager.open(settings) as manager:
        manager.enqueue("d", readings(1))
    before = standing(area)
    limits = {"staging_max_dataset_bytes": 1, "staging_flush_max_bytes": 0, "staging_guardrail_mode": "hard"}
    strict = Settings.build(home=settings.home, **limits)
    with StagingManager.open(strict) as manager, pytest.raises(GuardrailExceeded):
        manager.enqueue("d", readings(1, **NEW))
    assert standing(area) == before


def test_a_batch_for_which_the_disk_has_no_room_leaves_no_trace(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = group_commit(area)
    commits.commit([queued(area, readings(1))])
    before = standing(area)

    def full(*_: object) -> None:
        raise DiskFull("no space left", dataset="d", hint="")

    monkeypatch.setattr(Journal, "append", full)
    batch = queued(area, readings(1, **NEW))
    commits.commit([batch])
    assert isinstance(batch.receipt.exception(0), DiskFull)
    assert standing(area) == before


def test_a_full_queue_leaves_no_trace(settings: Settings, area: StagingArea) -> None:
    with StagingManager.open(Settings.build(home=settings.home, staging_max_pending=1)) as manager:
        manager.enqueue("d", readings(1))
        before = standing(area)
        with area.ledger.database.transaction():  # nothing can be promised meanwhile
            waiting = [manager.submit("d", readings(1), max_wait=timedelta(seconds=30)) for _ in range(2)]
            with pytest.raises(QueueFull):
                manager.submit("d", readings(1, **NEW))
        for receipt in waiting:
            receipt.result()
        assert standing(area) == before


def test_a_column_that_comes_once_a_row_of_it_is_staged(area: StagingArea) -> None:
    commits = group_commit(area)
    burst = [queued(area, readings(1, **NEW)) for _ in range(5)]
    commits.commit(burst)
    assert {batch.receipt.result(0).rows for batch in burst} == {1}
    assert area.ledger.datasets.get("d").schema_version == 1
    assert len(segment_rows(area)) == 5
    assert len(area.ledger.segments.of_dataset("d")) == 1


def test_two_who_add_columns_at_the_same_time_both_succeed(area: StagingArea) -> None:
    one, other = group_commit(area), group_commit(area)
    one.commit([queued(area, readings(1))])
    mine, theirs = queued(area, readings(1, mine=pa.int64())), queued(area, readings(1, theirs=pa.string()))
    one.commit([mine])
    other.commit([theirs])
    schema = area.ledger.datasets.get("d").schema
    assert schema is not None
    assert schema.names == ["at", "value", "mine", "theirs"]
    assert mine.receipt.result(0).batch_id != theirs.receipt.result(0).batch_id
    assert volumes(area)["pending"].batches == len(segment_rows(area)) == 3


def test_the_second_of_two_who_add_one_column_with_two_types_is_refused(area: StagingArea) -> None:
    one, other = group_commit(area), group_commit(area)
    one.commit([queued(area, readings(1))])
    mine, theirs = queued(area, readings(1, both=pa.string())), queued(area, readings(1, both=pa.int64()))
    one.commit([mine])
    other.commit([theirs])
    assert mine.receipt.exception(0) is None
    assert isinstance(theirs.receipt.exception(0), SchemaConflict)


def test_a_batch_that_is_fitted_again_keeps_its_id_and_counts_once_in_a_rebuilt_ledger(
    settings: Settings, area: StagingArea
) -> None:
    one, other = group_commit(area), group_commit(area)
    one.commit([queued(area, pa.table(table(1)))])
    other.commit([queued(area, pa.table(table(2)))])
    late = queued(area, pa.table(table(3)))  # fitted while the column is int64
    one.commit([queued(area, pa.table(table(4.5)))])
    other.commit([late])
    assert len(journal_rows(area)) == 5  # one of them is a copy
    assert volumes(area)["pending"].batches == 4
    for writer in (one, other):
        writer.close_journal()
    area.close()
    (settings.staging_directory / "ledger.sqlite").unlink()
    assert rebuild_if_lost(settings) is not None
    assert sorted(published(settings)) == [1, 2, 3, 4.5]


def test_a_ledger_reconciled_from_journals_lets_no_column_widen(settings: Settings) -> None:
    with StagingManager.open(settings) as manager:
        manager.enqueue("d", rows(2**53 + 1))
    backup = (settings.staging_directory / "ledger.sqlite").read_bytes()
    with StagingManager.open(settings) as manager:
        manager.enqueue("d", rows(1))
    (settings.staging_directory / "ledger.sqlite").write_bytes(backup)
    assert reconcile_restored(settings).pending == 1
    with StagingManager.open(settings) as manager, pytest.raises(SchemaConflict):
        manager.enqueue("d", rows(0.5))
    assert sorted(published(settings)) == [1, 2**53 + 1]


def table(*values: Any) -> dict[str, Any]:
    return {"at": pa.array([AT] * len(values), pa.timestamp("us", "UTC")), "v": list(values)}


WIDENINGS = [
    ([14, -(2**53)], [14.5], [14.0, float(-(2**53)), 14.5]),
    ([14], [Decimal("14.25")], [Decimal("14.25"), Decimal("14.00")]),
    ([Decimal("1.5")], [Decimal("0.0001")], [Decimal("1.5000"), Decimal("0.0001")]),
    ([date(2026, 1, 2)], [AT], [AT, AT + timedelta(days=1)]),
    ([[1, None], []], [[0.5]], [[1.0, None], [], [0.5]]),
    ([{"a": 1}], [{"a": 0.5, "b": "x"}], [{"a": 1.0, "b": None}, {"a": 0.5, "b": "x"}]),
    ([[]], [[1, 2]], [[], [1, 2]]),
    ([[{}]], [[{"a": [1]}]], [[None], [{"a": [1]}]]),
    ([{"code": None}], [{"code": [{"x": 1}]}], [{"code": None}, {"code": [{"x": 1}]}]),
    ([{"a": {"b": None}}], [{"a": {"b": AT}}], [{"a": {"b": None}}, {"a": {"b": AT}}]),
]


@pytest.mark.parametrize(("first", "then", "expected"), WIDENINGS, ids=[str(one[:2])[:60] for one in WIDENINGS])
def test_rows_of_before_and_after_a_change_are_published_with_their_values(
    settings: Settings, first: list[Any], then: list[Any], expected: list[Any]
) -> None:
    for values in (first, then):
        with StagingManager.open(settings) as manager:
            manager.enqueue("d", rows(*values))
    assert sorted(published(settings), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize(
    ("staged", "incoming", "why"),
    [
        (2**53 + 1, 0.5, "a staged whole number is not exact as a double"),
        (Decimal(10**36), Decimal("0.001"), "staged numbers have up to 37 digits before the decimal point"),
        ([2**62 + 1], [0.5], "a staged whole number"),
    ],
)
def test_a_type_that_staged_values_would_not_survive_is_refused(
    settings: Settings, area: StagingArea, staged: Any, incoming: Any, why: str
) -> None:
    with StagingManager.open(settings) as manager:
        manager.enqueue("d", rows(staged))
        before = standing(area)
        with pytest.raises(SchemaConflict, match=why) as refused:
            manager.enqueue("d", rows(incoming))
        assert "timestore datasets retype" in refused.value.hint
        assert standing(area) == before


def test_once_a_flush_has_begun_no_column_takes_another_type(settings: Settings, area: StagingArea) -> None:
    with StagingManager.open(settings) as manager:
        manager.enqueue("d", rows(14))
    roll_up_all(area)
    assert area.ledger.flushes.claim("d", Trigger.MANUAL, "run", area.identity.process_id) is not None
    with (
        StagingManager.open(settings) as manager,
        pytest.raises(SchemaConflict, match="but double in the data") as refused,
    ):
        manager.enqueue("d", rows(14.5))
    assert "`timestore datasets retype d v double`" in refused.value.hint


@pytest.mark.parametrize("empty", [[], {"code": None}, [[]], [{}], {"a": []}])
def test_what_is_published_before_its_type_is_known_is_text(
    settings: Settings, caplog: pytest.LogCaptureFixture, empty: Any
) -> None:
    with StagingManager.open(settings) as manager:
        manager.enqueue("d", rows(empty))
    [found] = published(settings)
    assert found == ([None] if empty == [{}] else empty)
    assert "columns without a value so far are published as text" in caplog.text
    with StagingManager.open(settings) as manager:
        manager.enqueue("d", rows(empty))
    assert len(published(settings)) == 2


def test_a_struct_grows_after_publication_too(settings: Settings) -> None:
    for value in ({"a": 1}, {"a": 2, "b": "x"}, {"a": 3}, {"b": "y", "c": [{"d": 1}]}):
        with StagingManager.open(settings) as manager:
            manager.enqueue("d", rows(value))
        found = published(settings)
    assert sorted(found, key=str) == [
        {"a": 1, "b": None, "c": None},
        {"a": 2, "b": "x", "c": None},
        {"a": 3, "b": None, "c": None},
        {"a": None, "b": "y", "c": [{"d": 1}]},
    ]


def test_files_of_smaller_and_larger_structs_are_compacted_into_one(settings: Settings) -> None:
    values = [{"a": 1}, {"a": 2, "b": [{"c": "x"}]}, {"a": 3, "b": [{"c": "y", "d": 0.5}]}, {"e": {}}]
    for value in values:
        with StagingManager.open(settings) as manager:
            manager.enqueue("d", rows(value))
        published(settings)
    with Timestore(settings) as store:
        assert len(list(maintain(store.area, store.lake, ["d"], store.maintain_options(min_files=2)))) == 1
        assert len(store.lake.table("d").live_files()) == 1
        assert verify(store.area, store.lake).ok
        found = store.lake.table("d").to_arrow_dataset().to_table()["v"].to_pylist()
    assert sorted(one["a"] for one in found if one["a"]) == [1, 2, 3]
    assert [{"c": "x", "d": None}] in [one["b"] for one in found]


def test_processes_that_send_different_types_at_once_lose_and_alter_nothing(settings: Settings) -> None:
    """One sends whole numbers, one fractions, one flushes: whatever was acknowledged is published as it was sent."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    kinds = [(settings.home, fraction, queue) for fraction in (0, 0.5)]
    producers = [context.Process(target=_produce, args=kind) for kind in kinds]
    for producer in producers:
        producer.start()
    with Timestore(settings) as store:
        while any(producer.is_alive() for producer in producers):
            if "d" in store.area.ledger.datasets.names():
                store.flush("d", Trigger.MANUAL, "run")
    acknowledged = sorted(value for _ in producers for value in queue.get())
    for producer in producers:
        producer.join()
        assert producer.exitcode == 0
    assert sorted(published(settings)) == acknowledged


def _produce(home: Any, fraction: float, queue: Any) -> None:
    """Puts the values that were acknowledged; a type that comes too late is refused by name."""
    acknowledged = []
    with StagingManager.open(Settings.build(home=home)) as manager:
        for number in range(200):
            try:
                manager.enqueue("d", rows(number + fraction if fraction else number))
            except SchemaConflict:
                continue
            acknowledged.append(number + fraction)
    queue.put(acknowledged)
