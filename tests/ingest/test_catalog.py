"""How a dataset's schema is settled, and what a refusal leaves behind."""

from __future__ import annotations

from datetime import date, datetime

import pyarrow as pa
import pytest

from tests.ingest.batches import readings
from timestore_pipeline.errors import InvalidData, InvalidDatasetName, InvalidMetadata, SchemaConflict
from timestore_pipeline.ingest.catalog import DatasetCatalog
from timestore_pipeline.model.dataset import DatasetMetadata, Granularity
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.datasets import Datasets


@pytest.fixture
def catalog(area: StagingArea) -> DatasetCatalog:
    return DatasetCatalog(area.ledger.datasets)


def columns(area: StagingArea) -> list[str] | None:
    schema = area.ledger.datasets.get("d").schema
    return None if schema is None else list(schema.names)


def test_the_first_batch_fixes_schema_and_layout(area: StagingArea, catalog: DatasetCatalog) -> None:
    record, rows = catalog.fit("d", readings(2))
    assert (record.time_column, record.granularity, rows.num_rows) == ("at", Granularity.DAY, 2)
    assert area.ledger.datasets.get("d") == record


def test_the_usual_batch_costs_no_ledger_access(
    area: StagingArea, catalog: DatasetCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, _ = catalog.fit("d", readings(2))
    monkeypatch.delattr(Datasets, "ensure")
    again, rows = catalog.fit("d", readings(3))
    assert again is record
    assert rows.num_rows == 3


def test_a_new_column_is_appended_and_missing_ones_are_null(area: StagingArea, catalog: DatasetCatalog) -> None:
    catalog.fit("d", readings(1))
    catalog.fit("d", readings(1, extra=pa.int16()))
    assert columns(area) == ["at", "value", "extra"]
    _, rows = catalog.fit("d", readings(1))
    assert rows.column_names == ["at", "value", "extra"]
    assert rows["extra"].to_pylist() == [None]
    assert area.ledger.datasets.get("d").schema_version == 2


def test_the_order_of_columns_does_not_matter(area: StagingArea, catalog: DatasetCatalog) -> None:
    catalog.fit("d", readings(2))
    _, rows = catalog.fit("d", readings(2).select(["value", "at"]))
    assert rows.equals(readings(2))
    assert area.ledger.datasets.get("d").schema_version == 1


def test_a_breaking_change_leaves_no_new_column(area: StagingArea, catalog: DatasetCatalog) -> None:
    catalog.fit("d", readings(1))
    breaking = readings(1, extra=pa.int64()).set_column(1, "value", pa.array(["text"]))
    with pytest.raises(SchemaConflict, match="'value' is double in the dataset but string") as conflict:
        catalog.fit("d", breaking)
    assert (conflict.value.dataset, conflict.value.column) == ("d", "value")
    assert columns(area) == ["at", "value"]


def test_a_strict_dataset_takes_no_new_column(area: StagingArea, catalog: DatasetCatalog) -> None:
    area.ledger.datasets.set_metadata("d", DatasetMetadata.parse({"schema": {"evolution": "strict"}}))
    catalog.fit("d", readings(1))
    with pytest.raises(SchemaConflict, match="extra"):
        catalog.fit("d", readings(1, extra=pa.int64()))
    assert columns(area) == ["at", "value"]


def test_a_value_out_of_range_fixes_no_schema(area: StagingArea, catalog: DatasetCatalog) -> None:
    wrong = pa.table({"at": pa.array([2**62], pa.timestamp("us")), "oops": [1]})
    with pytest.raises(InvalidData, match="outside the years"):
        catalog.fit("d", wrong)
    assert columns(area) is None
    catalog.fit("d", readings(1))
    wrong = readings(1).append_column("late", pa.array([2**62], pa.timestamp("us")))
    with pytest.raises(InvalidData, match="'late'"):
        catalog.fit("d", wrong)
    assert columns(area) == ["at", "value"]


def test_a_column_of_nulls_joins_with_its_first_value(area: StagingArea, catalog: DatasetCatalog) -> None:
    catalog.fit("d", readings(2).append_column("later", pa.nulls(2)))
    assert columns(area) == ["at", "value"]
    catalog.fit("d", readings(2, later=pa.string()))
    assert columns(area) == ["at", "value", "later"]


def test_nothing_but_nulls_is_no_dataset_yet(area: StagingArea, catalog: DatasetCatalog) -> None:
    with pytest.raises(InvalidData, match="no column with a value"):
        catalog.fit("d", pa.table({"x": pa.nulls(3)}))
    assert columns(area) is None


def test_an_empty_batch_settles_the_schema(area: StagingArea, catalog: DatasetCatalog) -> None:
    _, rows = catalog.fit("d", readings(0))
    assert rows.num_rows == 0
    assert columns(area) == ["at", "value"]


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
        ({"x": [1]}, None, Granularity.NONE),
    ],
)
def test_without_a_named_one_the_first_time_column_is_taken(
    catalog: DatasetCatalog, values: dict[str, list[object]], column: str | None, granularity: Granularity
) -> None:
    record, _ = catalog.fit("d", pa.table(values))
    assert (record.time_column, record.granularity) == (column, granularity)


def test_a_bad_name_is_refused_before_anything_else(area: StagingArea, catalog: DatasetCatalog) -> None:
    with pytest.raises(InvalidDatasetName):
        catalog.fit("Not/a/name", readings(1))
    assert area.ledger.datasets.all() == []


def test_two_who_add_columns_at_the_same_time_both_succeed(
    area: StagingArea, catalog: DatasetCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.fit("d", readings(1))
    replace = Datasets.replace_schema

    def overtaken(datasets: Datasets, *arguments: object) -> bool:
        monkeypatch.undo()
        DatasetCatalog(area.ledger.datasets).fit("d", readings(1, theirs=pa.string()))
        return replace(datasets, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Datasets, "replace_schema", overtaken)
    _, rows = catalog.fit("d", readings(1, mine=pa.int64()))
    assert rows.column_names == columns(area) == ["at", "value", "theirs", "mine"]


def test_the_second_of_two_who_add_one_column_with_two_types_is_refused(
    area: StagingArea, catalog: DatasetCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Datasets.replace_schema

    def overtaken(datasets: Datasets, *arguments: object) -> bool:
        monkeypatch.undo()
        DatasetCatalog(area.ledger.datasets).fit("d", readings(1, both=pa.string()))
        return replace(datasets, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Datasets, "replace_schema", overtaken)
    with pytest.raises(SchemaConflict, match="both"):
        catalog.fit("d", readings(1, both=pa.int64()))
