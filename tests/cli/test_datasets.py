"""Metadata is set in parts, shown with what follows from it, and refused with the key's path."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.running import complaint, staged, timestore, timestore_json
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.cli.app import app


def metadata(dataset: str = "weather") -> object:
    return timestore_json("datasets", "show", dataset)["metadata"]


def test_a_key_can_be_set_before_the_first_batch(home: Path) -> None:
    shown = timestore_json("datasets", "set", "weather", "staging.flush.maxRows=7")
    assert shown["metadata"] == {"staging": {"flush": {"maxRows": 7}}}
    assert shown["thresholds"] == {"max_rows": 7, "max_bytes": 134_217_728, "max_age_ms": 60_000}


def test_snake_case_and_camel_case_are_one_key(home: Path) -> None:
    timestore("datasets", "set", "weather", "staging.flush.max_rows=7")
    timestore("datasets", "set", "weather", "staging.flush.maxRows=8")
    assert metadata() == {"staging": {"flush": {"maxRows": 8}}}


def test_what_is_not_named_stays(home: Path) -> None:
    timestore("datasets", "set", "weather", '{"staging": {"flush": {"maxRows": 7}}}')
    timestore("datasets", "set", "weather", "staging.flush.maxAgeMs=500", "timeColumn=at", "partition.granularity=hour")
    assert metadata() == {
        "partition": {"granularity": "hour"},
        "staging": {"flush": {"maxAgeMs": 500, "maxRows": 7}},
        "timeColumn": "at",
    }


def test_replace_forgets_what_was_set_before(home: Path) -> None:
    timestore("datasets", "set", "weather", "staging.flush.maxRows=7")
    timestore("datasets", "set", "weather", "--replace", "description=hourly")
    assert metadata() == {"description": "hourly"}


def test_a_document_may_come_from_standard_input(home: Path) -> None:
    result = CliRunner().invoke(app, ["datasets", "set", "weather", "-"], input='{"description": "hourly"}')
    assert result.exit_code == 0
    assert metadata() == {"description": "hourly"}


def test_unset_lets_the_default_hold_again(home: Path) -> None:
    timestore("datasets", "set", "weather", "staging.flush.maxRows=7", "description=hourly")
    shown = timestore_json("datasets", "unset", "weather", "staging.flush.max_rows")
    assert shown["metadata"] == {"description": "hourly"}
    assert shown["thresholds"]["max_rows"] == 1_000_000


def test_unset_all_leaves_nothing(home: Path) -> None:
    timestore("datasets", "set", "weather", "staging.flush.maxRows=7", "description=hourly")
    assert timestore_json("datasets", "unset", "weather", "--all")["metadata"] == {}


@pytest.mark.parametrize("key", ["staging.flush.maxRows", "staging.nothing", "description.deeper"])
def test_unsetting_what_is_not_set_is_refused(home: Path, key: str) -> None:
    timestore("datasets", "set", "weather", "description=hourly")
    assert f"{key} is not set" in complaint("datasets", "unset", "weather", key)


@pytest.mark.parametrize("arguments", [[], ["description", "--all"]])
def test_unset_takes_either_keys_or_all(home: Path, arguments: list[str]) -> None:
    complaint("datasets", "unset", "weather", *arguments, code=2)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("staging.flush.maxRow=7", "staging.flush.maxRow"),
        ("staging.flush.maxRows=-1", "staging.flush.maxRows"),
        ("{not json", "document"),
        ("maxRows", "maxRows"),
        ("staging.flush.maxBytes=999999999", "staging.flush.maxBytes"),
    ],
)
def test_a_wrong_change_is_refused_with_its_key(home: Path, change: str, named: str) -> None:
    message = complaint("datasets", "set", "weather", change)
    assert named in message
    assert "[invalid_metadata]" in message


def test_an_invalid_name_is_refused(home: Path) -> None:
    assert "[invalid_dataset_name]" in complaint("datasets", "set", "Weather!", "description=x")


def test_the_layout_cannot_change_once_a_flush_has_begun(home: Path) -> None:
    staged(home)
    timestore("datasets", "set", "weather", "partition.granularity=month")
    timestore("flush", "weather", "--now")
    assert "fixed once a flush has begun" in complaint("datasets", "set", "weather", "partition.granularity=hour")


def test_a_column_can_be_declared_until_a_flush_has_begun(home: Path) -> None:
    staged(home)
    timestore("datasets", "set", "weather", '{"schema": {"columns": {"value": "double"}}}')
    assert "value double" in timestore("datasets", "show", "weather")
    timestore("flush", "weather", "--now")
    message = complaint("datasets", "set", "weather", '{"schema": {"columns": {"value": "string"}}}')
    assert "column 'value' is double in the dataset but string in the declaration" in message
    assert "timestore datasets retype weather value string" in message
    assert "declared as double" in complaint(
        "datasets", "set", "weather", '{"timeColumn": "value", "schema": {"columns": {"value": "double"}}}'
    )


def test_show_tells_layout_and_columns(home: Path) -> None:
    staged(home)
    shown = timestore_json("datasets", "show", "weather")
    assert (shown["time_column"], shown["granularity"]) == ("at", "day")
    assert [column["name"] for column in shown["schema"]["columns"]] == ["at", "value", "name"]
    assert "at timestamp, value int64, name string" in timestore("datasets", "show", "weather")


def test_show_tells_what_is_open_and_what_waits(home: Path) -> None:
    timestore("datasets", "set", "weather", '{"schema": {"columns": {"wind": "double"}}}')
    assert timestore_json("datasets", "show", "weather")["layout"] == "decided with the first row that has a time"
    with StagingManager.open(Settings.from_env()) as staging:
        staging.enqueue("weather", [{"v": 1, "tags": [], "o": {"code": None}}])
    shown = timestore_json("datasets", "show", "weather")
    assert shown["layout"] == "open: decided when a row with a time is staged, or the time column is declared"
    assert (shown["declared"], shown["waiting"]) == ({"wind": "double"}, ["tags[]", "o.code"])
    assert "a flush publishes without partitions, for good" in timestore("explain", "weather")
    timestore("flush", "weather", "--now")
    shown = timestore_json("datasets", "show", "weather")
    assert shown["layout"] == "not partitioned: published before any row had a time"
    assert (shown["waiting"], shown["settled_as_text"]) == ([], ["tags[]", "o.code"])
    assert "tags[], o.code: only empty until then" in timestore("datasets", "show", "weather")


def test_list_has_one_line_per_dataset(home: Path) -> None:
    assert timestore("datasets", "list") == "no datasets yet\n"
    staged(home, dataset="weather")
    staged(home, dataset="planes")
    assert [line.split()[0] for line in timestore("datasets", "list").splitlines()] == ["dataset", "planes", "weather"]
    assert [one["dataset"] for one in timestore_json("datasets", "list")["datasets"]] == ["planes", "weather"]


def test_a_removed_dataset_is_out_of_sight_until_something_arrives(home: Path) -> None:
    staged(home)
    assert "still has 40 rows pending" in complaint("datasets", "remove", "weather")
    timestore("drain", "weather")
    assert timestore_json("datasets", "remove", "weather")["removed"] is True
    assert timestore_json("datasets", "list") == {"datasets": []}
    assert timestore_json("status")["datasets"] == []
    assert 'dataset="weather"' not in timestore("metrics")
    assert timestore_json("verify")["datasets"][0]["published_rows"] == 40
    timestore("datasets", "set", "weather", "staging.flush.maxRows=50")
    assert [one["dataset"] for one in timestore_json("status")["datasets"]] == ["weather"]


def test_an_unknown_dataset_cannot_be_removed(home: Path) -> None:
    assert "there is no dataset 'nothing'" in complaint("datasets", "remove", "nothing")


def test_columns_that_cost_readers_a_feature_are_shown(home: Path) -> None:
    with StagingManager.open(Settings.from_env()) as staging:
        staging.enqueue("weather", [{"at": datetime(2026, 1, 1, tzinfo=UTC), "s": {"local": datetime(2026, 1, 1)}}])
    assert "timestampNtz, for times without a zone: s.local" in " ".join(
        timestore("datasets", "show", "weather").split()
    )
