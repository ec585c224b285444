"""What other people do to a table, a log or the lake's folder: no flush spoils it, or fails for ever without a word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tests.flush.conftest import hourly, published
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import InvalidData, RetryLater, TimestoreError, UnreadableTable, UnsupportedTable
from timestore_pipeline.model import canonical
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore


def flush(store: Timestore) -> None:
    store.flush("d", Trigger.MANUAL, "run")


def reason(store: Timestore) -> str:
    return store.status("d").decision.reason


@pytest.fixture
def folder(settings: Settings) -> Path:
    return Path(settings.lake_uri) / "d"


@pytest.fixture
def owing(timestore: Timestore, staging: StagingManager) -> Timestore:
    """Three rows are published, three more are staged."""
    staging.enqueue("d", hourly(3))
    flush(timestore)
    staging.enqueue("d", hourly(3, first=3))
    return timestore


def commit(folder: Path, action: dict[str, Any]) -> None:
    """As another tool's next version."""
    log = folder / "_delta_log"
    (log / f"{len(list(log.glob('*.json'))):020}.json").write_text(json.dumps(action) + "\n")


def last_metadata(folder: Path) -> Any:
    commits = sorted((folder / "_delta_log").glob("*.json"))
    actions = [json.loads(line) for file in commits for line in file.read_text().splitlines()]
    return [action for action in actions if "metaData" in action][-1]


def constrain(folder: Path) -> None:
    DeltaTable(str(folder)).alter.add_constraint({"small": "n < 1000"})


def forbid_nulls(folder: Path) -> None:
    metadata = last_metadata(folder)
    metadata["metaData"]["schemaString"] = metadata["metaData"]["schemaString"].replace("true", "false")
    commit(folder, metadata)


def generate(folder: Path) -> None:
    metadata = last_metadata(folder)
    schema = json.loads(metadata["metaData"]["schemaString"])
    schema["fields"][1]["metadata"] = {"delta.generationExpression": "1 + 1"}
    metadata["metaData"]["schemaString"] = json.dumps(schema)
    commit(folder, metadata)


def map_columns(folder: Path) -> None:
    metadata = last_metadata(folder)
    metadata["metaData"]["configuration"]["delta.columnMapping.mode"] = "name"
    commit(folder, metadata)


def track_rows(folder: Path) -> None:
    commit(folder, {"protocol": {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["rowTracking"]}})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (constrain, "the constraint small (n < 1000)"),
        (forbid_nulls, "NOT NULL on column 'n'"),
        (generate, "a generated value for column 'n'"),
        (map_columns, "column mapping by name"),
        (track_rows, "the feature rowTracking"),
    ],
)
def test_a_table_that_demands_what_a_flush_cannot_keep_to_is_left_alone_and_its_dataset_says_what_to_take_off(
    owing: Timestore, folder: Path, change: Callable[[Path], None], named: str
) -> None:
    change(folder)
    with pytest.raises(UnsupportedTable):
        flush(owing)
    assert named in reason(owing)
    assert reason(owing).startswith("blocked: ")
    assert owing.status("d").backlog.pending.rows == 3
    assert published(owing) == [0, 1, 2]


def test_what_was_taken_off_the_table_again_blocks_no_more(owing: Timestore, folder: Path) -> None:
    constrain(folder)
    with pytest.raises(UnsupportedTable):
        flush(owing)
    DeltaTable(str(folder)).alter.drop_constraint("small")
    owing.request_flush("d")
    assert owing.status("d").decision.due
    flush(owing)
    assert published(owing) == list(range(6))


def test_a_feature_that_comes_between_export_and_commit_is_named_and_settled_once_it_is_gone(
    owing: Timestore, folder: Path
) -> None:
    ref = owing.pipeline.claim("d", Trigger.MANUAL, "run").ref
    assert ref is not None
    owing.pipeline.export(ref, owing.export_options())
    track_rows(folder)
    with pytest.raises(UnsupportedTable, match="RowTracking"):
        owing.pipeline.publish(ref)
    assert "RowTracking" in reason(owing)
    newest = sorted((folder / "_delta_log").glob("*.json"))[-1]
    newest.unlink()
    flush(owing)
    assert published(owing) == list(range(6))


def put_a_file_in_its_place(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a table")


def lose_the_first_commit(folder: Path) -> None:
    (folder / "_delta_log" / "00000000000000000000.json").unlink()


@pytest.mark.parametrize("damage", [put_a_file_in_its_place, lose_the_first_commit])
def test_a_table_that_cannot_be_read_is_told_of_at_once_and_blocks_once_it_is_believed(
    owing: Timestore, folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    for _ in range(2):
        with pytest.raises(UnreadableTable):
            flush(owing)
        assert "failures in a row" in reason(owing)
        assert str(folder) in reason(owing)
    with pytest.raises(UnreadableTable):
        flush(owing)
    assert reason(owing).startswith("blocked: ")
    assert "out of the lake" in reason(owing)


@pytest.mark.unreadable_table
def test_a_table_with_a_feature_that_no_reader_knows_is_not_called_damaged(owing: Timestore, folder: Path) -> None:
    new = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["new"], "writerFeatures": ["new"]}
    commit(folder, {"protocol": new})
    with pytest.raises(UnsupportedTable, match="Feature 'new' is not supported"):
        flush(owing)


def test_a_link_to_a_disk_that_is_not_mounted_is_named_and_tried_again(owing: Timestore, folder: Path) -> None:
    elsewhere = folder.parent.with_name("moved")
    folder.parent.rename(elsewhere)
    folder.parent.symlink_to(elsewhere.with_name("gone"))
    with pytest.raises(RetryLater, match=r"is a link to .*/gone, which is missing"):
        flush(owing)
    elsewhere.rename(elsewhere.with_name("gone"))
    flush(owing)
    assert published(owing) == list(range(6))


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        (lambda inner: pa.list_(inner), lambda value: [value]),
        (lambda inner: pa.struct([("a", inner)]), lambda value: {"a": value}),
    ],
)
def test_a_column_that_an_earlier_release_let_in_too_deep_is_named_and_spoils_no_table(
    owing: Timestore, staging: StagingManager, monkeypatch: pytest.MonkeyPatch, kind: Any, wrap: Any
) -> None:
    deep, value = pa.int64(), 1
    for _ in range(50):
        deep, value = kind(deep), wrap(value)
    with monkeypatch.context() as earlier:
        earlier.setattr(canonical, "DEEPEST", 100)
        staging.enqueue("d", hourly(1, first=6).append_column("deep", pa.array([value], deep)))
    with pytest.raises(InvalidData, match="nested deeper than 32 levels") as refused:
        flush(owing)
    assert "flatten" in refused.value.hint
    assert published(owing) == [0, 1, 2]


def test_a_parquet_file_that_would_be_too_deep_is_no_fault_of_the_disk(
    owing: Timestore, staging: StagingManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep: pa.DataType = pa.int64()
    value: object = 1
    for _ in range(60):
        deep, value = pa.list_(deep), [value]
    monkeypatch.setattr(canonical, "DEEPEST", 100)
    staging.enqueue("d", hourly(1, first=6).append_column("deep", pa.array([value], deep)))
    with pytest.raises(TimestoreError) as refused:
        flush(owing)
    assert isinstance(refused.value, InvalidData)
    assert "flatten" in refused.value.hint
