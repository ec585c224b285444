"""How a dataset's schema is settled, and what a refusal leaves behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pyarrow as pa
import pytest

from tests.ingest.batches import readings
from timestore_pipeline.errors import InvalidData, InvalidDatasetName, InvalidMetadata, SchemaConflict
from timestore_pipeline.ingest.catalog import DatasetCatalog
from timestore_pipeline.model.dataset import DatasetMetadata, Granularity
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.staging.ledger.datasets import Datasets, ensured_id
from timestore_pipeline.staging.ledger.schema_changes import apply


@pytest.fixture
def catalog(area: StagingArea) -> DatasetCatalog:
    return DatasetCatalog(area.ledger)


def settle(area: StagingArea, catalog: DatasetCatalog, rows: pa.Table) -> tuple[DatasetRecord, pa.Table]:
    """Fit rows and make the change that they need, as their promise does."""
    fitted = catalog.fit("d", rows)
    if fitted.change is not None:
        with area.ledger.database.transaction() as tx:
            ensured_id(tx, "d")
            apply(tx, "d", fitted.change)
    return fitted.record, fitted.rows


def columns(area: StagingArea) -> list[str] | None:
    record = area.ledger.datasets.find("d")
    return None if record is None or record.schema is None else list(record.schema.names)


def test_the_first_batch_fixes_schema_and_layout(area: StagingArea, catalog: DatasetCatalog) -> None:
    record, rows = settle(area, catalog, readings(2))
    assert (record.time_column, record.granularity, rows.num_rows) == ("at", Granularity.DAY, 2)
    made_of_it = area.ledger.datasets.get("d")
    assert made_of_it == replace(record, dataset_id=made_of_it.dataset_id, created_at=made_of_it.created_at)


def test_fitting_alone_changes_nothing(area: StagingArea, catalog: DatasetCatalog) -> None:
    fitted = catalog.fit("d", readings(2))
    assert fitted.change is not None
    assert columns(area) is None
    settle(area, catalog, readings(2))
    assert catalog.fit("d", readings(1, extra=pa.int64())).rows.column_names == ["at", "value", "extra"]
    assert columns(area) == ["at", "value"]


def test_the_usual_batch_costs_no_ledger_access(
    area: StagingArea, catalog: DatasetCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(area, catalog, readings(2))
    record = catalog.fit("d", readings(2)).record
    monkeypatch.delattr(Datasets, "ensure")
    again = catalog.fit("d", readings(3))
    assert again.record is record
    assert again.rows.num_rows == 3


def test_rows_in_the_stored_columns_are_taken_as_they_come(area: StagingArea, catalog: DatasetCatalog) -> None:
    settle(area, catalog, readings(2))
    settle(area, catalog, readings(2))
    rows = readings(3)
    assert catalog.fit("d", rows).rows is rows
    noted = rows.replace_schema_metadata({"from": "a notebook"})
    assert catalog.fit("d", noted).rows.schema.metadata is None


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        (pa.timestamp("us"), 0, 2**62),
        (pa.date32(), 0, 2**30),
        (pa.list_(pa.date32()), [0], [2**30]),
        (pa.map_(pa.string(), pa.int64()), [("a", 1)], [("a", 1), ("a", 2)]),
        (pa.time64("us"), 0, 86_400_000_000),
    ],
    ids=str,
)
def test_no_batch_of_a_known_schema_brings_a_value_that_is_none(
    type_: pa.DataType, good: object, bad: object, area: StagingArea, catalog: DatasetCatalog
) -> None:
    fine = readings(2).append_column("v", pa.array([None, good], type_))
    for _ in range(3):
        settle(area, catalog, fine)
    with pytest.raises(InvalidData, match=r"row 1"):
        catalog.fit("d", readings(2).append_column("v", pa.array([good, bad], type_)))


def test_a_new_column_is_appended_and_missing_ones_are_null(area: StagingArea, catalog: DatasetCatalog) -> None:
    settle(area, catalog, readings(1))
    settle(area, catalog, readings(1, extra=pa.int16()))
    assert columns(area) == ["at", "value", "extra"]
    _, rows = settle(area, catalog, readings(1))
    assert rows.column_names == ["at", "value", "extra"]
    assert rows["extra"].to_pylist() == [None]
    assert area.ledger.datasets.get("d").schema_version == 2


def test_the_order_of_columns_does_not_matter(area: StagingArea, catalog: DatasetCatalog) -> None:
    settle(area, catalog, readings(2))
    _, rows = settle(area, catalog, readings(2).select(["value", "at"]))
    assert rows.equals(readings(2))
    assert area.ledger.datasets.get("d").schema_version == 1


def test_a_breaking_change_leaves_no_new_column(area: StagingArea, catalog: DatasetCatalog) -> None:
    settle(area, catalog, readings(1))
    breaking = readings(1, extra=pa.int64()).set_column(1, "value", pa.array(["text"]))
    with pytest.raises(SchemaConflict, match="'value' is double in the dataset but string") as conflict:
        settle(area, catalog, breaking)
    assert (conflict.value.dataset, conflict.value.column) == ("d", "value")
    assert columns(area) == ["at", "value"]


def test_a_strict_dataset_takes_no_new_column(area: StagingArea, catalog: DatasetCatalog) -> None:
    area.ledger.datasets.set_metadata("d", DatasetMetadata.parse({"schema": {"evolution": "strict"}}))
    settle(area, catalog, readings(1))
    with pytest.raises(SchemaConflict, match="extra"):
        settle(area, catalog, readings(1, extra=pa.int64()))
    assert columns(area) == ["at", "value"]


def test_a_value_out_of_range_fixes_no_schema(area: StagingArea, catalog: DatasetCatalog) -> None:
    wrong = pa.table({"at": pa.array([2**62], pa.timestamp("us")), "oops": [1]})
    with pytest.raises(InvalidData, match="outside the years"):
        settle(area, catalog, wrong)
    assert columns(area) is None
    settle(area, catalog, readings(1))
    wrong = readings(1).append_column("late", pa.array([2**62], pa.timestamp("us")))
    with pytest.raises(InvalidData, match="'late'"):
        settle(area, catalog, wrong)
    assert columns(area) == ["at", "value"]


def test_a_column_of_nulls_joins_with_its_first_value(area: StagingArea, catalog: DatasetCatalog) -> None:
    settle(area, catalog, readings(2).append_column("later", pa.nulls(2)))
    assert columns(area) == ["at", "value"]
    settle(area, catalog, readings(2, later=pa.string()))
    assert columns(area) == ["at", "value", "later"]


def test_nothing_but_nulls_is_no_dataset_yet(area: StagingArea, catalog: DatasetCatalog) -> None:
    with pytest.raises(InvalidData, match="no column with a value"):
        settle(area, catalog, pa.table({"x": pa.nulls(3)}))
    assert columns(area) is None


def test_an_empty_batch_settles_the_schema_and_not_the_layout(area: StagingArea, catalog: DatasetCatalog) -> None:
    record, rows = settle(area, catalog, readings(0))
    assert (rows.num_rows, record.granularity) == (0, None)
    assert columns(area) == ["at", "value"]
    assert settle(area, catalog, readings(1))[0].time_column == "at"


@pytest.mark.parametrize(("column", "problem"), [("nope", "is not in the data"), ("value", "is of type double")])
def test_the_named_time_column_must_be_there_and_be_a_time(
    area: StagingArea, catalog: DatasetCatalog, column: str, problem: str
) -> None:
    area.ledger.datasets.set_metadata("d", DatasetMetadata.parse({"time_column": column}))
    with pytest.raises(InvalidMetadata, match=f"time column '{column}' of dataset 'd' {problem}") as refused:
        catalog.fit("d", readings(1))
    assert refused.value.hint.startswith("columns are: at, value;")
    assert columns(area) is None


@pytest.mark.parametrize(
    ("values", "column", "granularity"),
    [
        ({"d": [date(2026, 1, 1)], "t": [datetime(2026, 1, 1)]}, "d", Granularity.DAY),
        ({"x": [1]}, None, None),
        ({"late": pa.array([None], pa.timestamp("us")), "t": [datetime(2026, 1, 1)]}, "t", Granularity.DAY),
    ],
)
def test_without_a_named_one_the_first_column_with_a_time_is_taken(
    catalog: DatasetCatalog, values: dict[str, list[object]], column: str | None, granularity: Granularity | None
) -> None:
    record = catalog.fit("d", pa.table(values)).record
    assert (record.time_column, record.granularity) == (column, granularity)


def test_a_bad_name_is_refused_before_anything_else(area: StagingArea, catalog: DatasetCatalog) -> None:
    with pytest.raises(InvalidDatasetName):
        catalog.fit("Not/a/name", readings(1))
    assert area.ledger.datasets.all() == []
