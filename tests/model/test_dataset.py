"""Dataset names and metadata."""

from __future__ import annotations

import encodings
import json
from typing import Any

import pytest

from timestore_pipeline.errors import InvalidDatasetName, InvalidMetadata
from timestore_pipeline.model.dataset import DatasetMetadata, Evolution, Granularity, check_dataset_name


@pytest.mark.parametrize("name", ["a", "0", "weather", "a.b_c-d", "a" * 120])
def test_a_good_name_is_returned(name: str) -> None:
    assert check_dataset_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", ".a", "..", "a/b", "a b", "a\n", "é", "a" * 121, None, 5])
def test_a_bad_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidDatasetName, match="is not a dataset name"):
        check_dataset_name(name)


def test_nothing_said_means_the_defaults() -> None:
    metadata = DatasetMetadata.parse("{}")
    assert metadata.time_column is None
    assert metadata.partition.granularity is Granularity.DAY
    assert metadata.schema_.evolution is Evolution.ADDITIVE
    assert metadata.staging.flush.max_rows is None
    assert metadata.to_json() == "{}"


def test_the_documented_example_is_understood() -> None:
    document = {
        "time_column": "time_hour",
        "partition": {"granularity": "hour"},
        "schema": {"evolution": "strict"},
        "staging": {"flush": {"maxRows": 50000, "maxBytes": 8388608, "maxAgeMs": 30000}},
    }
    metadata = DatasetMetadata.parse(json.dumps(document))
    assert metadata == DatasetMetadata.parse(document)
    assert (metadata.time_column, metadata.partition.granularity) == ("time_hour", Granularity.HOUR)
    assert metadata.staging.flush.max_age_ms == 30000


def test_snake_case_and_camel_case_mean_the_same_and_are_kept_as_camel_case() -> None:
    snake = DatasetMetadata.parse({"time_column": "t", "staging": {"flush": {"max_rows": 1}}})
    camel = DatasetMetadata.parse({"timeColumn": "t", "staging": {"flush": {"maxRows": 1}}})
    assert snake == camel
    assert json.loads(snake.to_json()) == {"timeColumn": "t", "staging": {"flush": {"maxRows": 1}}}


def test_kept_values_read_back_unchanged() -> None:
    metadata = DatasetMetadata.parse({"partition": {"granularity": "none"}, "description": None})
    assert DatasetMetadata.parse(metadata.to_json()) == metadata


def test_an_upstream_asset_that_is_named_twice_counts_once() -> None:
    assert DatasetMetadata.parse({"upstream": ["raw/wind", "readings", "raw/wind"]}).upstream == (
        "raw/wind",
        "readings",
    )


def test_alert_levels_are_understood_and_zero_is_one() -> None:
    alerts = DatasetMetadata.parse({"staging": {"alerts": {"backlogWarn": 0, "backlog_page": 500}}}).staging.alerts
    assert (alerts.backlog_warn, alerts.backlog_page) == (0, 500)


def test_a_page_below_the_warning_is_a_contradiction() -> None:
    for given, contradict in (({"backlogWarn": 51}, True), ({"backlogPage": 19}, True), ({"backlogPage": 0}, False)):
        assert DatasetMetadata.parse({"staging": {"alerts": given}}).staging.alerts.contradict is contradict


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"backlogWarn": True}, "staging.alerts.backlogWarn"),
        ({"backlogWarn": -1}, "staging.alerts.backlogWarn"),
        ({"backlog": 1}, "staging.alerts.backlog"),
    ],
)
def test_alert_levels_that_cannot_be_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidMetadata, match=said):
        DatasetMetadata.parse({"staging": {"alerts": given}})


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"unknown": 1}, "unknown:"),
        ({"staging": {"flush": {"maxRow": 1}}}, "staging.flush.maxRow:"),
        ({"staging": {"flush": {"maxRows": -1}}}, "staging.flush.maxRows:"),
        ({"staging": {"flush": {"maxRows": True}}}, "staging.flush.maxRows:"),
        ({"staging": {"flush": {"maxRows": 1.5}}}, "staging.flush.maxRows:"),
        ({"staging": {"flush": {"maxRows": "1_0"}}}, "staging.flush.maxRows:"),
        ('{"staging": {"flush": {"maxRows": 1, "maxRows": 2}}}', "an object has the key 'maxRows' twice"),
        ('{"schema": {"columns": {"a": "int64", "a": "string"}}}', "an object has the key 'a' twice"),
        ({"staging": {"flush": {"maxRows": 1, "max_rows": 2}}}, "staging.flush.max_rows:"),
        ({"staging": {"flush": {"maxAgeMs": 10**20}}}, "staging.flush.maxAgeMs:"),
        ({"staging": {"flush": {"compression": "rar"}}}, "staging.flush.compression:"),
        ({"staging": {"flush": {"compressionLevel": 23}}}, "staging.flush.compressionLevel:"),
        ({"staging": {"flush": {"compression": "gzip", "compressionLevel": 9}}}, "staging.flush:.*for zstd"),
        ({"staging": {"flush": {"rowGroupSize": 10}}}, "staging.flush.rowGroupSize:"),
        ({"staging": {"flush": {"sortBy": ["at", "at"]}}}, "staging.flush.sortBy:.*named twice"),
        ({"staging": {"flush": {"sortBy": "at"}}}, "staging.flush.sortBy:"),
        ({"partition": {"granularity": "week"}}, "partition.granularity:"),
        ({"schema": {"evolution": "any"}}, "schema.evolution:"),
        ({"timeColumn": ""}, "timeColumn:"),
        ({"upstream": ["raw/"]}, "upstream:"),
        ({"upstream": ["raw readings"]}, "upstream:"),
        ({"upstream": ["timestore/weather"]}, "upstream:"),
        ("[]", "document:"),
        ("{", "document:"),
    ],
)
def test_a_refusal_names_the_key(document: Any, path: str) -> None:
    with pytest.raises(InvalidMetadata, match=rf"refused: {path}"):
        DatasetMetadata.parse(document)


def test_every_wrong_key_is_named_at_once() -> None:
    with pytest.raises(InvalidMetadata, match=r"staging\.flush\.maxBytes: .*; a: "):
        DatasetMetadata.parse({"staging": {"flush": {"maxBytes": -1}}, "a": 1})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"owner": ["team:a"]}, "owner: there is no such key; 'owners' is the nearest"),
        ({"staging": {"flush": {"maxRow": 5}}}, "staging.flush.maxRow: there is no such key; 'maxRows' is the nearest"),
        ({"zzz": 1}, "zzz: there is no such key"),
        (
            {"staging": {"flush": {"partitionBy": ["region"]}}},
            "staging.flush.partitionBy: tables are partitioned by time alone; use staging.flush.sortBy",
        ),
    ],
)
def test_a_key_that_is_misspelt_is_refused_with_the_nearest(document: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidMetadata) as caught:
        DatasetMetadata.parse(document)
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"schema": {"columns": {"wind": "dobule"}}}, "schema.columns: .*column 'wind': .*no type 'dobule'"),
        ({"schema": {"columns": {"wind": "double", "Wind": "double"}}}, "differ by case only"),
        ({"schema": {"columns": {"partition_date": "date"}}}, "reserved name"),
        ({"schema": {"localTimestamps": "no"}}, "schema.localTimestamps"),
        ({"csv": {"delimiter": ";;"}}, "csv.delimiter"),
        ({"csv": {"delimiter": '"'}}, "cannot separate fields"),
        ({"csv": {"delimiter": ",", "decimal": ","}}, "both the delimiter and the decimal mark"),
        ({"csv": {"encoding": "utf9"}}, "not an encoding that Python knows"),
        ({"csv": {"encoding": "hex"}}, "not an encoding that Python knows"),
        ({"csv": {"encoding": "punycode"}}, "not an encoding that Python knows"),
    ],
)
def test_columns_and_csv_that_cannot_be_are_refused_with_the_key(document: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidMetadata, match=problem):
        DatasetMetadata.parse(document)


def test_the_name_of_an_unknown_encoding_is_not_kept_in_memory() -> None:
    with pytest.raises(InvalidMetadata, match="not an encoding"):
        DatasetMetadata.parse({"csv": {"encoding": "x" * 1_000}})
    assert "x" * 1_000 not in encodings._cache


@pytest.mark.parametrize(
    "name", ["utf-8", "UTF8", "utf-8-sig", "ISO-8859-1", "latin-1", "windows-1252", "cp037", "Big5"]
)
def test_an_encoding_has_any_of_pythons_names(name: str) -> None:
    assert DatasetMetadata.parse({"csv": {"encoding": name}}).csv.encoding == name
