"""Datasets, their metadata, and a schema that several processes may change at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidDatasetName, InvalidMetadata, UnknownDataset
from timestore_pipeline.model.dataset import DatasetMetadata, Granularity
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.staging.ledger.schema_changes import SchemaChange, SchemaMoved, apply

ONE = pa.schema([pa.field("t", pa.timestamp("us", "UTC"))])
TWO = pa.schema([*ONE, pa.field("v", pa.float64())])
LAYOUT = ("t", Granularity.DAY)


def change(ledger: Ledger, seen: DatasetRecord, schema: pa.Schema, layout: tuple[str | None, Granularity]) -> bool:
    """Whether the change was made: the dataset is as it was seen."""
    try:
        with ledger.database.transaction() as tx:
            apply(tx, seen.name, SchemaChange(seen.schema_version, seen.schema, schema, *layout))
    except SchemaMoved:
        return False
    return True


def test_a_new_dataset_has_no_schema_and_no_layout(ledger: Ledger) -> None:
    record = ledger.datasets.ensure("d")
    assert (record.schema, record.granularity, record.time_column) == (None, None, None)
    assert (record.schema_version, record.last_epoch, record.paused) == (0, 0, False)
    assert ledger.datasets.ensure("d") == record


def test_a_bad_name_makes_no_dataset(ledger: Ledger) -> None:
    for name in ("No", "", "\ud800"):
        with pytest.raises(InvalidDatasetName):
            ledger.datasets.ensure(name)
    assert ledger.datasets.all() == []


def test_an_unknown_dataset_is_told_with_the_known_ones(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    with pytest.raises(UnknownDataset, match="there is no dataset 'x'") as refused:
        ledger.datasets.get("x")
    assert refused.value.hint == "known datasets: d"
    with pytest.raises(UnknownDataset):
        ledger.datasets.set_paused("x", True)
    with pytest.raises(UnknownDataset):
        ledger.datasets.request_flush("x")


def test_a_schema_is_kept_with_its_layout(ledger: Ledger) -> None:
    assert change(ledger, ledger.datasets.ensure("d"), TWO, LAYOUT)
    record = ledger.datasets.get("d")
    assert record.schema is not None
    assert record.schema.equals(TWO)
    assert (record.time_column, record.granularity, record.schema_version) == ("t", Granularity.DAY, 1)


def test_the_second_of_two_who_change_the_schema_must_look_again(ledger: Ledger) -> None:
    seen = ledger.datasets.ensure("d")
    assert change(ledger, seen, ONE, LAYOUT)
    assert not change(ledger, seen, TWO, LAYOUT)
    assert ledger.datasets.get("d").schema == ONE


def test_a_layout_decided_on_older_metadata_must_be_decided_again(ledger: Ledger) -> None:
    seen = ledger.datasets.ensure("d")
    ledger.datasets.set_metadata("d", DatasetMetadata.parse({"partition": {"granularity": "hour"}}))
    assert not change(ledger, seen, ONE, LAYOUT)
    assert ledger.datasets.get("d").granularity is None


def test_metadata_cannot_contradict_the_layout_once_a_flush_has_begun(ledger: Ledger) -> None:
    change(ledger, ledger.datasets.ensure("d"), TWO, LAYOUT)
    ledger.schema_changes.settle_for_table("d")
    for document in ({"time_column": "v"}, {"partition": {"granularity": "hour"}}):
        with pytest.raises(InvalidMetadata, match="laid out by 't' per day"):
            ledger.datasets.set_metadata("d", DatasetMetadata.parse(document))
    same = DatasetMetadata.parse({"time_column": "t", "staging": {"flush": {"maxRows": 1}}})
    assert ledger.datasets.set_metadata("d", same).metadata == same


def test_until_then_the_layout_follows_the_metadata(ledger: Ledger) -> None:
    change(ledger, ledger.datasets.ensure("d"), TWO, LAYOUT)
    record = ledger.datasets.set_metadata("d", DatasetMetadata.parse({"partition": {"granularity": "hour"}}))
    assert (record.time_column, record.granularity) == ("t", Granularity.HOUR)
    record = ledger.datasets.set_metadata("d", DatasetMetadata.parse({"time_column": "later"}))
    assert (record.time_column, record.granularity) == (None, None)
    with pytest.raises(InvalidMetadata, match="time column 'v' of dataset 'd' is of type double"):
        ledger.datasets.set_metadata("d", DatasetMetadata.parse({"time_column": "v"}))


def test_a_dataset_published_without_time_keeps_any_granularity_out(ledger: Ledger) -> None:
    schema = pa.schema([pa.field("v", pa.float64())])
    change(ledger, ledger.datasets.ensure("d"), schema, (None, Granularity.NONE))
    ledger.schema_changes.settle_for_table("d")
    ledger.datasets.set_metadata("d", DatasetMetadata.parse({"description": "x"}))
    with pytest.raises(InvalidMetadata):
        ledger.datasets.set_metadata("d", DatasetMetadata.parse({"time_column": "v"}))


def test_sort_columns_are_known_declared_or_said_before(ledger: Ledger) -> None:
    def sort_by(column: str, **more: object) -> DatasetMetadata:
        return DatasetMetadata.parse({"staging": {"flush": {"sortBy": [column]}}, **more})

    ledger.datasets.set_metadata("d", sort_by("later"))
    change(ledger, ledger.datasets.get("d"), TWO, LAYOUT)
    ledger.datasets.set_metadata("d", sort_by("later", description="only what is said anew counts"))
    with pytest.raises(InvalidMetadata, match="sortBy names 'w', which dataset 'd' does not have"):
        ledger.datasets.set_metadata("d", sort_by("w"))
    for metadata in (sort_by("v"), sort_by("w", schema={"columns": {"w": "double"}})):
        assert ledger.datasets.set_metadata("d", metadata).metadata == metadata


def test_pausing_asking_and_postponing_show_in_the_backlog(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    ledger.datasets.set_paused("d", True)
    ledger.datasets.request_flush("d")
    until = datetime(2030, 1, 1, tzinfo=UTC)
    ledger.flush_failures.postpone("d", until)
    row = ledger.backlogs.of("d")
    assert (row.paused, row.retry_at, row.failures) == (True, until, 1)
    assert row.manual_requested_at is not None
    ledger.datasets.set_paused("d", False)
    assert not ledger.datasets.get("d").paused


def test_a_dataset_that_comes_back_goes_on_where_it_was(ledger: Ledger) -> None:
    record = ledger.datasets.ensure("d")
    ledger.counters.add("d", "dropped_batches_total", {"reason": "queue_full"}, 3)
    ledger.datasets.remove("d")
    assert ledger.datasets.active() == []
    assert ledger.backlogs.all() == []
    ledger.counters.add("d", "dropped_batches_total", {"reason": "queue_full"}, 1)
    assert [found.dataset_id for found in ledger.datasets.active()] == [record.dataset_id]
    assert [counter.value for counter in ledger.counters.all()] == [4]


def test_setting_metadata_brings_a_dataset_back(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    ledger.datasets.remove("d")
    ledger.datasets.set_metadata("d", DatasetMetadata())
    assert [record.name for record in ledger.datasets.active()] == ["d"]


@pytest.mark.parametrize(
    ("before", "after", "paused"),
    [(None, True, True), (True, None, False), (True, False, False), (True, True, True), (None, None, False)],
)
def test_metadata_pause_a_dataset_for_as_long_as_they_say_so(
    ledger: Ledger, before: bool | None, after: bool | None, paused: bool
) -> None:
    for said in (before, after):
        document = {"staging": {} if said is None else {"paused": said}}
        record = ledger.datasets.set_metadata("d", DatasetMetadata.parse(document))
    assert record.paused is paused


def test_metadata_that_say_nothing_leave_an_operators_pause_alone(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    ledger.datasets.set_paused("d", True)
    assert ledger.datasets.set_metadata("d", DatasetMetadata()).paused


def test_an_operator_ends_a_pause_of_the_metadata(ledger: Ledger) -> None:
    ledger.datasets.set_metadata("d", DatasetMetadata.parse({"description": "x", "staging": {"paused": True}}))
    ledger.datasets.set_paused("d", False)
    record = ledger.datasets.get("d")
    assert (record.paused, record.metadata.staging.paused, record.metadata.description) == (False, None, "x")
