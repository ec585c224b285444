"""Timestamps without zone at any depth: the table says so, and every reader opens it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import DeltaError
from deltalake.schema import PrimitiveType

from tests.lake.exporting import NUMBERS, UNPARTITIONED, publish
from tests.lake.reading import check_readable
from tests.lake_reading import unreadable_tables
from timestore_pipeline.errors import UnreadableTable
from timestore_pipeline.lake import features
from timestore_pipeline.lake.features import is_overlooked, local_times, protocol_with_feature
from timestore_pipeline.lake.table import Lake, LakeTable

LOCAL = pa.timestamp("us")
AT = datetime(2026, 1, 1, 10)
MAP = pa.map_(pa.string(), LOCAL)
DEEP = pa.map_(pa.string(), pa.list_(pa.struct([("a", LOCAL)])))
COLUMNS: dict[str, tuple[pa.DataType, Any]] = {
    "plain": (LOCAL, AT),
    "list": (pa.list_(LOCAL), [AT, None]),
    "struct": (pa.struct([("a", pa.struct([("b", LOCAL)]))]), {"a": {"b": AT}}),
    "value": (MAP, [("opened", AT)]),
    "key": (pa.map_(LOCAL, pa.string()), [(AT, "opened")]),
    "deep": (pa.list_(pa.struct([("m", DEEP)])), [{"m": [("k", [{"a": AT}])]}]),
}  # fmt: skip


def protocols(table: LakeTable) -> list[dict[str, Any]]:
    """Every protocol of the log, in order."""
    commits = sorted(Path(table.uri, "_delta_log").glob("*.json"))
    actions = [json.loads(line) for commit in commits for line in commit.read_text().splitlines()]
    return [action["protocol"] for action in actions if "protocol" in action]


def local(name: str) -> pa.Table:
    kind, value = COLUMNS[name]
    return pa.table({name: pa.array([value, None], kind)})


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("first", [True, False])
def test_a_local_time_at_any_depth_never_costs_a_reader_the_table(
    table: LakeTable, name: str, first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As the only column of a new table, and as one that a table gains."""
    if not first:
        publish(table, NUMBERS)
    assert not caplog.messages
    publish(table, local(name), epoch=2)
    assert DeltaTable(table.uri).protocol().reader_features == ["timestampNtz"]
    assert local(name)[name][0].as_py() in table.to_arrow_dataset().to_table()[name].to_pylist()
    assert any("timestampNtz" in message and f" in {name}" in message for message in caplog.messages)
    check_readable(table.uri)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_protocol_rises_once(table: LakeTable, name: str) -> None:
    publish(table, NUMBERS)
    publish(table, local(name), epoch=2)
    publish(table, local("plain"), epoch=3)
    assert [protocol["minReaderVersion"] for protocol in protocols(table)] == [1, 3]


def test_a_table_without_local_times_stays_readable_for_old_readers(table: LakeTable) -> None:
    publish(table, pa.table({"at": pa.array([AT], pa.timestamp("us", "UTC")), "d": pa.array([AT.date()])}))
    assert protocols(table) == [{"minReaderVersion": 1, "minWriterVersion": 2}]


def broken(table: LakeTable) -> None:
    """As deltalake leaves a table."""
    table.ensure(NUMBERS.schema, UNPARTITIONED)
    [field] = Schema.from_arrow(pa.schema([("m", MAP)])).fields
    with pytest.raises(DeltaError):
        DeltaTable(table.uri).alter.add_columns(field)


def test_a_table_that_lacks_the_feature_gains_it_when_it_is_next_opened(
    table: LakeTable, caplog: pytest.LogCaptureFixture
) -> None:
    publish(table, NUMBERS)
    broken(table)
    assert sorted(table.to_arrow_dataset().to_table()["n"].to_pylist()) == [1, 2, 3]
    assert "its protocol lacked timestampNtz" in caplog.text
    assert protocols(table)[-1] == {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["timestampNtz"],
        "writerFeatures": ["appendOnly", "invariants", "timestampNtz"],
    }
    publish(table, pa.table({"n": [4], "m": pa.array([[("k", AT)]], MAP)}), epoch=2)
    check_readable(table.uri)


@pytest.mark.unreadable_table
def test_a_table_that_lacks_the_feature_and_cannot_be_mended_is_named_with_the_remedy(
    table: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a bucket, or where the log is not ours to write."""
    broken(table)
    monkeypatch.setattr(features, "add_feature", lambda _: False)
    with pytest.raises(UnreadableTable, match="lacks the feature timestampNtz") as refused:
        table.schema()
    assert "SET TBLPROPERTIES ('delta.feature.timestampNtz' = 'supported')" in refused.value.hint


def test_two_that_mend_a_table_at_once_write_one_commit(table: LakeTable) -> None:
    broken(table)
    log = Lake(table.uri.rpartition("/")[0]).table("weather")._handle.log
    assert features.add_feature(log)
    assert len(protocols(table)) == 2
    assert table.exists()


def test_a_protocol_that_demands_more_than_ours_is_left_alone() -> None:
    assert protocol_with_feature({"minReaderVersion": 2, "minWriterVersion": 5}) is None


def test_paths_say_where_the_local_time_is() -> None:
    fields = Schema.from_arrow(pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])).fields
    assert local_times(fields) == ["plain", "list[]", "struct.a.b", "value{value}", "key{key}", "deep[].m{value}[].a"]
    assert [field.name for field in fields if is_overlooked(field)] == ["value", "key", "deep"]
    assert not is_overlooked(Field("{", PrimitiveType("timestamp_ntz")))


@pytest.mark.unreadable_table
def test_a_test_that_leaves_such_a_table_fails(table: LakeTable) -> None:
    """What every other test is held to finds it."""
    folder = Path(table.uri).parent
    publish(table, NUMBERS)
    assert unreadable_tables(iter([folder])) == []
    broken(table)
    assert "timestampNtz" in unreadable_tables(iter([folder]))[0]


@pytest.mark.unreadable_table
def test_a_test_that_publishes_what_one_reader_cannot_read_fails(table: LakeTable) -> None:
    """DataFusion does not read a struct in a map that has fewer fields in a file than in the table."""
    short, long = (pa.map_(pa.string(), pa.struct([(name, pa.int64()) for name in names])) for names in ("a", "ab"))
    publish(table, pa.table({"m": pa.array([[("k", {"a": 1})]], short)}))
    DeltaTable(table.uri).alter.add_columns(Schema.from_arrow(pa.schema([("m", long)])).fields)
    assert "Cannot cast column 'm'" in unreadable_tables(iter([Path(table.uri).parent]))[0]
