"""Filters for null and not null over tables whose columns were added later, in every reader."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from tests.lake.exporting import APP, UNPARTITIONED, export, publish
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.dataset import Granularity

OLD = pa.table({"n": [1, 2], "at": pa.array([0, 1], pa.timestamp("us", "UTC"))})
NEW = OLD.append_column("w", pa.array([7, None])).append_column("s", pa.array(["x", None]))
FILTERS = {
    "null": pc.field("w").is_null(),
    "not null": pc.field("w").is_valid(),
    "null or": pc.field("s").is_null() | (pc.field("w") == 7),
    "value": pc.field("s") == "x",
    "bound": pc.field("n") >= 2,
}


def pruned_equals_scanned(table: LakeTable) -> None:
    for dataset in (table.to_arrow_dataset(), DeltaTable(table.uri).to_pyarrow_dataset()):
        for name, condition in FILTERS.items():
            expected = dataset.to_table().filter(condition).num_rows
            assert dataset.to_table(filter=condition).num_rows == expected, name


@pytest.mark.parametrize("granularity", [Granularity.NONE, Granularity.DAY, Granularity.HOUR])
def test_a_column_that_a_file_lacks_is_null_in_it(table: LakeTable, granularity: Granularity) -> None:
    publish(table, OLD, granularity)
    publish(table, NEW, granularity, epoch=2)
    pruned_equals_scanned(table)
    assert table.to_arrow_dataset().to_table()["n"].to_pylist() == [1, 2] * 2


def test_a_column_that_another_shard_has_added_is_null_in_later_files_without_it(table: LakeTable) -> None:
    publish(table, NEW)
    publish(table, OLD, app="timestore/shard-1/weather")
    pruned_equals_scanned(table)


def test_files_that_were_exported_before_the_column_came_say_so_too(table: LakeTable) -> None:
    files = export(table, OLD)
    table.ensure(NEW.schema, UNPARTITIONED)
    table.publish(APP, 1, files, {})
    publish(table, NEW, app="timestore/shard-1/weather")
    pruned_equals_scanned(table)


def test_files_keep_their_rows_and_partition_when_their_statistics_change(table: LakeTable) -> None:
    publish(table, OLD, Granularity.HOUR)
    before = pa.table(DeltaTable(table.uri).get_add_actions()).select(["path", "partition", "num_records"])
    publish(table, NEW, Granularity.HOUR, epoch=2)
    after = pa.table(DeltaTable(table.uri).get_add_actions()).select(["path", "partition", "num_records"])
    assert before.to_pylist()[0] in after.to_pylist()
    history = table.history()
    assert history is not None
    assert [commit.changes_data for commit in history.commits if commit.added] == [True, False, True]


def test_strings_that_another_tool_has_rewritten_can_be_compared(table: LakeTable) -> None:
    """deltalake writes them as views, for which Arrow has no comparison."""
    publish(table, NEW)
    publish(table, NEW, epoch=2)
    DeltaTable(table.uri).delete("n = 2")
    publish(table, NEW, epoch=3)
    dataset = table.to_arrow_dataset()
    for name, condition in FILTERS.items():
        found = dataset.to_table(filter=condition, columns=["s", "n"])
        assert found.column_names == ["s", "n"]
        assert found.num_rows == dataset.to_table().filter(condition).num_rows, name
    assert dataset.count_rows() == 4
