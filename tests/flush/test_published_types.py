"""Two shards that give one column different types: what fits is cast, what does not is set aside, the rest flows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.flush.conftest import hourly
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import AllSetAside, InvalidQuery, RetryLater, SchemaConflict
from timestore_pipeline.model.batch import Incident, IncidentKind
from timestore_pipeline.model.flush import Flush, Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.wiring import Timestore, rebuild_if_lost


def with_column(kind: pa.DataType, values: list[Any], name: str = "x") -> pa.Table:
    return hourly(len(values)).append_column(name, pa.array(values, kind))


def flush(store: Timestore) -> Flush | None:
    return store.flush("d", Trigger.MANUAL, "run")


def is_refused(staging: StagingManager, rows: pa.Table) -> bool:
    try:
        staging.enqueue("d", rows)
    except SchemaConflict:
        return True
    return False


def column(store: Timestore, name: str = "x") -> list[Any]:
    return list(store.lake.table("d").to_arrow_dataset().to_table()[name].to_pylist())


def incidents(store: Timestore) -> list[Incident]:
    return store.area.ledger.incidents.all("d")


def retype(store: Timestore, kind: pa.DataType) -> None:
    known = store.area.ledger.datasets.get("d")
    learnt = replace(known, schema=pa.schema([*hourly(1).schema, pa.field("x", kind)]))
    assert store.area.ledger.datasets.learn(known, learnt)


@pytest.fixture
def elsewhere(settings: Settings) -> Settings:
    """Another host that publishes into the same lake, under a name of its own."""
    home = settings.home.with_name("b")
    return Settings.build(home=home, lake_uri=settings.lake_uri, shard="b")


@pytest.fixture
def loser(settings: Settings, elsewhere: Settings, staging: StagingManager) -> Iterator[Timestore]:
    """A store whose dataset `d` has a table with the column `x` as integers, which another shard published first."""
    with StagingManager.open(elsewhere) as theirs:
        theirs.enqueue("d", with_column(pa.int64(), [7]))
    with Timestore(elsewhere) as winner:
        flush(winner)
    with Timestore(settings) as store:
        yield store


def test_values_that_the_published_type_holds_exactly_are_cast(loser: Timestore, staging: StagingManager) -> None:
    staging.enqueue("d", with_column(pa.float64(), [1.0, None, 2.0**60]))
    flush(loser)
    assert sorted(column(loser), key=str) == [1, 2**60, 7, None]
    assert incidents(loser) == []
    assert verify(loser.area, loser.lake).ok


def test_a_batch_that_does_not_fit_is_set_aside_with_the_value_and_the_rest_is_published_in_the_same_flush(
    loser: Timestore, staging: StagingManager
) -> None:
    staging.enqueue("d", with_column(pa.float64(), [1.0]))
    staging.enqueue("d", with_column(pa.float64(), [2.0, 2.5]))
    staging.enqueue("d", with_column(pa.float64(), [3.0]))
    flushed = flush(loser)
    assert flushed is not None
    assert flushed.volume.batches == 2
    assert sorted(column(loser)) == [1, 3, 7]
    [incident] = incidents(loser)
    assert incident.kind is IncidentKind.BATCH
    assert incident.error == "column 'x' holds 2.5 (double), which does not fit int64, as which the lake has it"
    assert verify(loser.area, loser.lake).ok


def test_a_zero_below_zero_is_no_whole_number(loser: Timestore, staging: StagingManager) -> None:
    staging.enqueue("d", with_column(pa.float64(), [-0.0]))
    staging.enqueue("d", with_column(pa.float64(), [0.0]))
    flush(loser)
    assert sorted(column(loser)) == [0, 7]
    assert "holds -0.0 (double)" in incidents(loser)[0].error


def test_text_for_a_published_number_is_set_aside_and_rows_without_it_are_not(
    loser: Timestore, staging: StagingManager
) -> None:
    staging.enqueue("d", with_column(pa.string(), ["7"]))
    staging.enqueue("d", hourly(3))
    flush(loser)
    assert sorted(column(loser), key=str) == [7, None, None, None]
    assert "holds 7 (string)" in incidents(loser)[0].error


def test_a_claim_of_nothing_that_fits_ends_without_a_failure(loser: Timestore, staging: StagingManager) -> None:
    staging.enqueue("d", with_column(pa.string(), ["seven"]))
    with pytest.raises(AllSetAside):
        flush(loser)
    backlog = loser.status("d").backlog
    assert (backlog.failures, backlog.block, backlog.queued.batches) == (0, None, 0)


def test_what_was_learnt_is_what_the_door_refuses_from_then_on(loser: Timestore, staging: StagingManager) -> None:
    staging.enqueue("d", with_column(pa.string(), ["seven"]))
    with pytest.raises(AllSetAside):
        flush(loser)
    with StagingManager.open(loser.settings) as later:
        with pytest.raises(SchemaConflict, match="column 'x' is int64 in the dataset but string in the data"):
            later.enqueue("d", with_column(pa.string(), ["seven"]))
        later.enqueue("d", with_column(pa.int8(), [8]))
    flush(loser)
    assert sorted(column(loser)) == [7, 8]


def test_a_producer_that_goes_on_with_the_old_type_is_refused_before_long(
    loser: Timestore, staging: StagingManager
) -> None:
    staging.enqueue("d", with_column(pa.string(), ["seven"]))
    with pytest.raises(AllSetAside):
        flush(loser)
    assert any(is_refused(staging, with_column(pa.string(), ["eight"])) for _ in range(100_000))


def test_segments_of_the_old_and_the_new_type_are_published_together(
    loser: Timestore, settings: Settings, staging: StagingManager
) -> None:
    staging.enqueue("d", with_column(pa.float64(), [1.0]))
    flush(loser)
    for value, kind in ((2.0, pa.float64()), (3, pa.int64())):
        with StagingManager.open(settings) as later:
            if kind == pa.float64():
                retype(loser, kind)
            later.enqueue("d", with_column(kind, [value]))
        flush(loser)
    assert sorted(column(loser)) == [1, 2, 3, 7]


def test_a_query_reads_staged_rows_in_the_published_type_or_says_that_they_do_not_fit(
    loser: Timestore, staging: StagingManager
) -> None:
    staging.enqueue("d", with_column(pa.float64(), [1.0]))
    flush(loser)
    retype(loser, pa.float64())
    with StagingManager.open(loser.settings) as later:
        later.enqueue("d", with_column(pa.float64(), [2.0]))
        later.enqueue("d", with_column(pa.float64(), [2.5]))
    retype(loser, pa.int64())
    with (
        pytest.raises(InvalidQuery, match=r"column 'x' holds 2\.5 \(double\)"),
        loser.query("SELECT x FROM d") as answer,
    ):
        answer.rows.read_all()
    flush(loser)
    with loser.query("SELECT sum(x)::BIGINT AS total FROM d") as answer:
        assert answer.rows.read_all()["total"].to_pylist() == [1 + 2 + 7]


def test_a_column_that_is_spelt_otherwise_is_published_as_the_table_has_it(
    loser: Timestore, staging: StagingManager
) -> None:
    staging.enqueue("d", with_column(pa.int64(), [8], "X"))
    flush(loser)
    assert sorted(column(loser)) == [7, 8]


@pytest.mark.parametrize(
    ("published", "staged", "fits", "refused"),
    [
        (pa.array([1.5]), pa.array([2**53]), 2**53, pa.array([2**53 + 1])),
        (pa.array([Decimal("1.25")]), pa.array([Decimal("1.500")]), Decimal("1.50"), pa.array([Decimal("1.255")])),
        (pa.array([[1.5]]), pa.array([[2]]), [2.0], pa.array([[2**53 + 1]])),
        (pa.array([{"a": 1.5, "b": "t"}]), pa.array([{"a": 2}]), {"a": 2.0, "b": None}, pa.array([{"a": 2**53 + 1}])),
        (pa.array([b"x"]), pa.array([None], pa.string()), None, pa.array(["x"])),
    ],
    ids=["double", "decimal", "list", "struct", "binary"],
)
def test_each_kind_of_value_is_kept_or_set_aside(
    settings: Settings, elsewhere: Settings, published: pa.Array, staged: pa.Array, fits: Any, refused: pa.Array
) -> None:
    for where, values in ((elsewhere, published), (settings, staged), (settings, refused)):
        with StagingManager.open(where) as manager:
            manager.enqueue("d", hourly(1).append_column("x", values))
        if where is elsewhere:
            with Timestore(elsewhere) as winner:
                flush(winner)
    with Timestore(settings) as store:
        flush(store)
        assert fits in column(store)
        assert len(column(store)) == 2
        assert len(incidents(store)) == 1


def test_a_table_of_another_tool_does_not_decide_about_batches(
    settings: Settings, timestore: Timestore, staging: StagingManager
) -> None:
    staging.enqueue("d", with_column(pa.string(), ["seven"]))
    theirs = with_column(pa.int64(), [7]).append_column("partition_date", hourly(1)["ts"].cast(pa.date32()))
    write_deltalake(f"{settings.lake_uri}/d", theirs, partition_by=["partition_date"])
    with pytest.raises(SchemaConflict) as refused:
        flush(timestore)
    assert "move it out of the lake" in refused.value.hint
    assert timestore.status("d").backlog.block is not None
    assert incidents(timestore) == []


def test_a_table_without_rows_is_waited_for(timestore: Timestore, settings: Settings, staging: StagingManager) -> None:
    """Another shard has made it a moment ago and is about to publish."""
    staging.enqueue("d", with_column(pa.string(), ["seven"]))
    theirs = with_column(pa.int64(), [7]).append_column("partition_date", hourly(1)["ts"].cast(pa.date32()))
    DeltaTable.create(f"{settings.lake_uri}/d", theirs.schema, partition_by=["partition_date"])
    with pytest.raises(RetryLater, match="no rows yet"):
        flush(timestore)
    assert timestore.status("d").backlog.block is None


def test_a_ledger_rebuilt_from_segments_of_either_type_has_all_their_columns_and_publishes_what_fits(
    loser: Timestore, staging: StagingManager
) -> None:
    staging.enqueue("d", with_column(pa.float64(), [1.0]))
    staging.enqueue("d", with_column(pa.float64(), [1.5]))
    flush(loser)
    with StagingManager.open(loser.settings) as later:
        later.enqueue("d", with_column(pa.int64(), [2]).append_column("y", pa.array(["new"])))
    staging.close()
    settings = loser.settings
    loser.close()
    (settings.staging_directory / "ledger.sqlite").unlink()
    assert rebuild_if_lost(settings) is not None
    with Timestore(settings) as store:
        with suppress(AllSetAside):
            flush(store)
        assert sorted(column(store)) == [1, 2, 7]
        assert "new" in column(store, "y")
        assert len(incidents(store)) == 1
        assert verify(store.area, store.lake).ok


@pytest.mark.parametrize(("theirs", "ours"), [("hour", "day"), ("day", "hour"), ("none", "day"), ("day", "none")])
def test_a_dataset_that_another_shard_has_laid_out_otherwise_follows_its_table(
    settings: Settings, elsewhere: Settings, theirs: str, ours: str
) -> None:
    for where, granularity in ((elsewhere, theirs), (settings, ours)):
        with Timestore(where) as store, store.staging() as staging:
            store.set_metadata("d", {"partition": {"granularity": granularity}})
            staging.enqueue("d", hourly(3))
            flush(store)
    with Timestore(settings) as store:
        assert store.area.ledger.datasets.get("d").granularity == theirs
        assert sorted(column(store, "n")) == [0, 0, 1, 1, 2, 2]
        assert verify(store.area, store.lake).ok


@pytest.mark.parametrize(
    ("theirs", "ours", "dated_by"),
    [(pa.timestamp("us", "UTC"), pa.string(), "at"), (pa.string(), pa.timestamp("us", "UTC"), None)],
    ids=["text-for-time", "time-for-text"],
)
def test_a_shard_whose_time_column_is_of_another_kind_follows_the_table_and_takes_in_what_fits_it(
    settings: Settings, elsewhere: Settings, theirs: pa.DataType, ours: pa.DataType, dated_by: str | None
) -> None:
    def rows(kind: pa.DataType) -> pa.Table:
        return pa.table({"at": pa.array(["2026-03-01" if kind == pa.string() else 0], kind), "n": [1]})

    for where, kind in ((elsewhere, theirs), (settings, ours), (settings, theirs)):
        with Timestore(where) as store:
            with store.staging() as staging:
                staging.enqueue("d", rows(kind))
            with suppress(AllSetAside):
                flush(store)
    with Timestore(settings) as store:
        assert store.area.ledger.datasets.get("d").time_column == dated_by
        assert column(store, "n") == [1, 1]
        assert len(incidents(store)) == 1
        assert verify(store.area, store.lake).ok
