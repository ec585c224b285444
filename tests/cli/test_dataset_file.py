"""All datasets in one file: applied whole or not at all, shown before, and exported so that nothing changes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from typer.testing import CliRunner

from tests.cli.running import ROOT, complaint, staged, timestore, timestore_json
from timestore_pipeline.cli.app import app

GUIDE = (ROOT / "docs" / "configuration.md").read_text()
[EXAMPLE] = [text for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if "\ndatasets:" in text]

REPEATED = ", ".join(
    ["&a0 [x]", *(f"&a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10))]
)  # 1,000 bytes that stand for a billion values


def written(home: Path, text: str) -> Path:
    path = home.parent / "datasets.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def applied(home: Path, text: str, *options: str) -> str:
    return timestore("datasets", "apply", written(home, text), *options)


def metadata(dataset: str) -> object:
    return timestore_json("datasets", "show", dataset)["metadata"]


def test_the_example_of_the_guide_is_applied_and_says_nothing_the_second_time(home: Path) -> None:
    assert "2 of 2 datasets changed" in applied(home, EXAMPLE)
    said = yaml.safe_load(EXAMPLE)["datasets"]
    assert {name: metadata(name) for name in said} == said
    assert applied(home, EXAMPLE) == "nothing to change: 2 datasets as the file says\n"


def test_an_export_applied_changes_nothing_here_and_everything_elsewhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(home, EXAMPLE)
    strange = {"no": "double", "2024": "string", "größe": "decimal(20,4)", "a.b": "string", "wind_speed": "double"}
    odd = {"csv": {"nulls": ["", "NA", "null"]}, "schema": {"columns": strange}, "description": None}
    timestore("datasets", "set", "strange", json.dumps(odd))
    timestore("datasets", "set", "plain", "{}")
    exported = timestore("datasets", "export")
    assert applied(home, exported) == "nothing to change: 4 datasets as the file says\n"

    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path / "elsewhere"))
    assert "4 of 4 datasets changed" in applied(home, exported)
    assert timestore("datasets", "export") == exported
    assert list(yaml.safe_load(exported)["datasets"]["strange"]["schema"]["columns"]) == list(strange)


def test_what_the_file_does_not_name_stays_and_null_unsets(home: Path) -> None:
    timestore(
        "datasets", "set", "weather", "description=hourly", "staging.flush.maxRows=7", "schema.columns.a_b=double"
    )
    timestore("datasets", "set", "flights", "description=departures")
    applied(home, "datasets: {weather: {staging: {flush: {max_rows: null, maxAgeMs: 5}}, schema: {columns: {a_b: }}}}")
    assert metadata("weather") == {"description": "hourly", "staging": {"flush": {"maxAgeMs": 5}}}
    assert metadata("flights") == {"description": "departures"}


def test_a_dry_run_shows_every_key_and_changes_nothing(home: Path) -> None:
    timestore("datasets", "set", "weather", "staging.flush.maxRows=7", "description=hourly", "timeColumn=null")
    text = """
    datasets:
      weather: {description: null, staging: {flush: {maxRows: 8, sortBy: [station]}}}
      storms: {timeColumn: at}
    """
    assert applied(home, text, "--dry-run").splitlines() == [
        "weather",
        "  ~ staging.flush.maxRows  7 -> 8",
        '  + staging.flush.sortBy   ["station"]',
        "  - description            hourly",
        "storms (new)",
        "  + timeColumn  at",
        "2 of 2 datasets would change; nothing was written",
    ]
    assert metadata("weather") == {
        "description": "hourly",
        "timeColumn": None,
        "staging": {"flush": {"maxRows": 7}},
    }
    assert [one["dataset"] for one in timestore_json("datasets", "list")["datasets"]] == ["weather"]


def test_a_refusal_names_every_dataset_and_field_and_nothing_is_applied(home: Path) -> None:
    text = """
    datasets:
      good: {description: fine}
      large: {staging: {flush: {maxBytes: 999999999}}}
      typo: {staging: {flush: {maxRow: 5}}}
      levelled: {staging: {flush: {compression: gzip, compressionLevel: 9}}}
    """
    message = complaint("datasets", "apply", written(home, text))
    for said in (
        "large: staging.flush.maxBytes of dataset 'large'",
        "typo: dataset metadata refused: staging.flush.maxRow:",
        "levelled: dataset metadata refused: staging.flush:",
        "3 of 4 datasets are refused, and nothing was changed",
        "[datasets_refused]",
    ):
        assert said in message
    assert timestore_json("datasets", "list")["datasets"] == []
    failed = timestore_json("datasets", "apply", written(home, text), code=1)["error"]
    assert [problem["dataset"] for problem in failed["problems"]] == ["large", "typo", "levelled"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("{schema: {columns: {value: string}}}", "timestore datasets retype weather value string"),
        ("{partition: {granularity: hour}}", "fixed once a flush has begun"),
        ("{staging: {flush: {sortBy: [statoin]}}}", "staging.flush.sortBy names 'statoin'"),
    ],
)
def test_what_would_need_a_rewrite_is_refused_with_the_remedy(home: Path, said: str, problem: str) -> None:
    staged(home)
    timestore("flush", "weather", "--now")
    message = complaint("datasets", "apply", written(home, f"datasets: {{weather: {said}}}"), "--dry-run")
    assert "weather: " in message
    assert problem in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("datasets: {a: {}, a: {}}", "the key 'a' is there twice"),
        ("datasets: {a: {schema: {columns: {no: double}}}}", "YAML reads the key no as False; quote it"),
        ("dataset: {a: {}}", "has the one key 'datasets' at its top, not 'dataset'"),
        ("[a]", "has the one key 'datasets' at its top"),
        ("datasets: [a]", "datasets maps the names"),
        ("datasets: {a: b}", "a does not hold keys with values"),
        ("datasets: {A!: {}}", "'A!' is not a dataset name"),
        ("datasets: {a: [}", "cannot be read"),
        ("datasets: {a: {description: 2001-14-14}}", "cannot be read"),
        ("datasets: {a: {staging: {flush: {maxRows: 010}}}}", "YAML reads the number 010 as 8"),
        ("datasets: {a: {staging: {flush: {maxRows: 1_0}}}}", "YAML reads the number 1_0 as 10"),
        ("datasets: {a: {staging: {flush: {maxRows: 1:30}}}}", "YAML reads the number 1:30 as 90"),
        ("datasets: " + "[" * 5_000, "nested too deeply"),
        ("datasets: {a: [" + REPEATED + "]}", "holds more than 1000000 values"),
        ("datasets: !!python/object:os.system {}", "cannot be read"),
    ],
)
def test_text_that_is_no_such_file_is_refused_with_its_place(home: Path, text: str, problem: str) -> None:
    message = complaint("datasets", "apply", written(home, text))
    assert problem in message
    assert "datasets.yaml" in message
    assert "[invalid_metadata]" in message


def test_a_file_that_is_not_there_is_named(home: Path) -> None:
    assert "no-such.yaml cannot be read" in complaint("datasets", "apply", "no-such.yaml")


def test_a_new_order_of_columns_is_a_change(home: Path) -> None:
    applied(home, "datasets: {weather: {csv: {header: false}, schema: {columns: {a: double, b: double}}}}")
    text = "datasets: {weather: {schema: {columns: {b: double, a: double}}}}"
    assert '~ order of schema.columns  ["a", "b"] -> ["b", "a"]' in applied(home, text)
    assert list(timestore_json("datasets", "show", "weather")["declared"]) == ["b", "a"]
    assert "nothing to change" in applied(home, text)


def test_a_removed_dataset_comes_back(home: Path) -> None:
    timestore("datasets", "set", "old", "description=gone")
    timestore("datasets", "remove", "old")
    assert "old" not in timestore("datasets", "export")
    assert "old (new)" in applied(home, "datasets: {old: {}}")
    assert metadata("old") == {"description": "gone"}


def test_the_schema_accepts_what_can_be_applied_and_refuses_a_typo(home: Path) -> None:
    validator = jsonschema_rs.validator_for(timestore_json_document("datasets", "schema"))
    accepted = [EXAMPLE, "datasets: {a: , b: {description: null, schema: {columns: {a: null}}}}"]
    refused = ["datasets: {a: {staging: {flush: {maxRow: 1}}}}", "datasets: {a: {owners: you}}", "dataset: {}"]
    assert [validator.is_valid(yaml.safe_load(text)) for text in accepted + refused] == [True] * 2 + [False] * 3


def test_what_show_prints_can_be_set_here_and_for_another_dataset(home: Path) -> None:
    applied(home, EXAMPLE)
    shown = timestore("datasets", "show", "weather", "--json")
    for dataset in ("weather", "copy"):
        assert CliRunner().invoke(app, ["datasets", "set", dataset, "-"], input=shown).exit_code == 0
        assert metadata(dataset) == json.loads(shown)["metadata"]


def test_a_declared_column_is_unset_by_its_own_spelling(home: Path) -> None:
    timestore("datasets", "set", "weather", "schema.columns.wind_speed=double", "description=hourly")
    assert timestore_json("datasets", "unset", "weather", "schema.columns.wind_speed")["metadata"] == {
        "description": "hourly"
    }


def timestore_json_document(*arguments: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(timestore(*arguments))
    return document
