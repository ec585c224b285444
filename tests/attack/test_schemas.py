"""A schema that no flush could export is refused when it is first seen; every other one is published."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.exportable import most_fields
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.settings import LEAST_MEMORY_MB, Settings
from timestore_pipeline.wiring import Timestore

TEXT, LISTS = pa.array(["x"]), pa.array([[1]])


@pytest.fixture
def small(tmp_path: Path) -> Settings:
    """With the least memory that exports may have."""
    return Settings.build(home=tmp_path, export_memory_mb=LEAST_MEMORY_MB)


def wide(columns: int, values: pa.Array, prefix: str = "c") -> pa.Table:
    at = pa.array([datetime(2013, 1, 1, tzinfo=UTC)])
    return pa.table({"at": at} | {f"{prefix}{number}": values for number in range(columns)})


@pytest.mark.parametrize(("values", "fields"), [(TEXT, 1), (LISTS, 2)])
def test_the_widest_schema_that_is_let_in_is_published(small: Settings, values: pa.Array, fields: int) -> None:
    most = (most_fields(small.one_export_mb) - 1) // fields
    with StagingManager.open(small) as staging, Timestore(small) as store:
        staging.enqueue("d", wide(most, values))
        with pytest.raises(InvalidData, match="the memory of an export suffices for 682") as refused:
            staging.enqueue("wider", wide(most + 1, values))
        assert "TIMESTORE_EXPORT_MEMORY_MB" in refused.value.hint
        store.flush("d", Trigger.MANUAL, "test")
        assert store.lake.table("d").to_arrow_dataset().count_rows() == 1


def test_a_dataset_does_not_grow_beyond_it_batch_by_batch(small: Settings) -> None:
    with StagingManager.open(small) as staging:
        staging.enqueue("d", wide(400, TEXT))
        with pytest.raises(InvalidData, match="801 columns and fields"):
            staging.enqueue("d", wide(400, TEXT, prefix="other"))
        assert staging.enqueue("d", wide(400, TEXT)).rows == 1


def test_by_default_memory_suffices_for_every_schema(settings: Settings) -> None:
    assert most_fields(settings.one_export_mb) == 2_000
