"""Configuration: the contract of interfaces.md, and refusals that name the variable."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from timestore_pipeline.errors import InvalidSettings
from timestore_pipeline.model.dataset import Admits
from timestore_pipeline.model.thresholds import FlushThresholds, GuardrailMode, Guardrails
from timestore_pipeline.settings import Settings, storage_options, variable


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith(("TIMESTORE_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def problems(**values: object) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as refused:
        Settings.build(**values)
    return refused.value.problems


def test_the_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    settings = Settings.from_env()
    assert settings.home == tmp_path / ".timestore"
    assert settings.staging_directory == tmp_path / ".timestore" / "staging"
    assert settings.lake_uri == str(tmp_path / ".timestore" / "lake")
    assert settings.shard == "shard-0"
    assert settings.guardrails == Guardrails(536_870_912, 0, GuardrailMode.SOFT, 67_108_864)
    assert settings.thresholds == FlushThresholds(1_000_000, 134_217_728, timedelta(seconds=60))
    assert settings.staging_max_pending == 64
    assert settings.pushgateway_url is None
    assert settings.api_token is None
    assert settings.api_max_body_bytes == 67_108_864


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("TIMESTORE_SHARD", "edge-1", "shard", "edge-1"),
        ("TIMESTORE_LAKE_URI", "s3://bucket/prefix", "lake_uri", "s3://bucket/prefix"),
        ("TIMESTORE_LAKE_URI", "file:///lake", "lake_uri", "file:///lake"),
        ("TIMESTORE_STAGING_DIRECTORY", "/fast/staging", "staging_directory", Path("/fast/staging")),
        ("TIMESTORE_STAGING_MAX_DATASET_BYTES", "0", "staging_max_dataset_bytes", 0),
        ("TIMESTORE_STAGING_MAX_TOTAL_BYTES", "999999999999", "staging_max_total_bytes", 999_999_999_999),
        ("TIMESTORE_STAGING_MIN_FREE_BYTES", "0", "staging_min_free_bytes", 0),
        ("TIMESTORE_STAGING_MAX_PENDING", "3", "staging_max_pending", 3),
        ("TIMESTORE_STAGING_GUARDRAIL_MODE", "hard", "staging_guardrail_mode", GuardrailMode.HARD),
        ("TIMESTORE_STAGING_FLUSH_MAX_ROWS", "5", "staging_flush_max_rows", 5),
        ("TIMESTORE_STAGING_FLUSH_MAX_BYTES", "5", "staging_flush_max_bytes", 5),
        ("TIMESTORE_STAGING_FLUSH_MAX_AGE_MS", "5", "staging_flush_max_age_ms", 5),
        ("TIMESTORE_PUSHGATEWAY_URL", "http://push:9091", "pushgateway_url", "http://push:9091"),
        ("TIMESTORE_DATASETS", "declared", "datasets", Admits.DECLARED),
        ("TIMESTORE_DAGSTER_WEBSERVER_URL", "http://ui:3000", "dagster_webserver_url", "http://ui:3000"),
    ],
)
def test_each_variable_sets_its_field(
    environment: pytest.MonkeyPatch, name: str, value: str, field: str, expected: object
) -> None:
    environment.setenv(name, value)
    assert getattr(Settings.from_env(), field) == expected
    assert variable(field) == name


def test_a_token_does_not_show_when_the_settings_are_printed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TIMESTORE_API_TOKEN", "hush-hush")
    settings = Settings.from_env()
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "hush-hush"
    assert "hush-hush" not in f"{settings!r} {settings}"


def test_a_token_that_no_header_can_carry_is_refused_without_being_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TIMESTORE_API_TOKEN", "hush hush")
    with pytest.raises(InvalidSettings, match=r"TIMESTORE_API_TOKEN=\*\*\*") as refused:
        Settings.from_env()
    assert "hush" not in str(refused.value)


def test_an_empty_variable_is_as_good_as_none(environment: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        environment.setenv(variable(field), "")
    assert Settings.from_env().staging_max_pending == 64


def test_a_relative_path_is_taken_from_the_working_directory(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("TIMESTORE_HOME", "data")
    environment.setenv("TIMESTORE_LAKE_URI", "else/lake")
    settings = Settings.from_env()
    assert settings.staging_directory == tmp_path / "data" / "staging"
    assert settings.lake_uri == str(tmp_path / "else" / "lake")


def test_every_problem_is_reported_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TIMESTORE_STAGING_MAX_PENDING", "many")
    environment.setenv("TIMESTORE_SHARD", "a/b")
    environment.setenv("TIMESTORE_STAGING_FLUSH_MAX_BYTES", "600000000")
    with pytest.raises(InvalidSettings) as refused:
        Settings.from_env()
    named = [problem.split("=")[0] for problem in refused.value.problems]
    assert named == ["TIMESTORE_SHARD", "TIMESTORE_STAGING_MAX_PENDING", "TIMESTORE_STAGING_FLUSH_MAX_BYTES"]


def test_an_unreadable_limit_is_not_also_a_contradiction() -> None:
    [problem] = problems(staging_max_dataset_bytes="much", staging_flush_max_bytes=2**40)
    assert problem.startswith("TIMESTORE_STAGING_MAX_DATASET_BYTES='much'")


@pytest.mark.parametrize(
    "values",
    [
        {"staging_flush_max_bytes": 100, "staging_max_dataset_bytes": 100},
        {"staging_max_dataset_bytes": 1000, "staging_max_total_bytes": 999, "staging_flush_max_bytes": 10},
        {"staging_max_dataset_bytes": 0, "staging_max_total_bytes": 100, "staging_flush_max_bytes": 100},
    ],
)
def test_limits_that_contradict_each_other_are_refused_by_name(values: dict[str, int]) -> None:
    [problem] = problems(**values)
    assert "does not fit below TIMESTORE_STAGING_MAX_" in problem


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("staging_max_dataset_bytes", -1),
        ("staging_max_pending", 0),
        ("staging_max_pending", "1_0"),
        ("idempotency_retention_days", "1_0"),
        ("staging_guardrail_mode", "medium"),
        ("staging_flush_max_age_ms", 10**20),
        ("idempotency_retention_days", float("inf")),
        ("idempotency_retention_days", 1e6),
        ("idempotency_retention_days", 0),
        ("export_memory_mb", 1),
        ("shard", ""),
        ("shard", "-a"),
        ("home", "~nobody-of-that-name/x"),
        ("home", 5),
        ("lake_uri", "gs://bucket"),
        ("lake_uri", "s3://"),
        ("lake_uri", "s3:///prefix"),
        ("lake_uri", "file://"),
        ("lake_uri", "file://host/lake"),
        ("lake_uri", "~nobody-of-that-name/lake"),
        ("lake_uri", "/a?b"),
        ("lake_uri", "file:///a%3Fb"),
        ("staging_directory", "/new\nline"),
        ("staging_directory", "/back\\slash"),
        ("staging_directory", os.fsdecode(b"/latin-\xe9")),
        ("staging_max_total_bytes", 2**63),
        ("export_memory_mb", 2**60),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_variables_name(field: str, value: object) -> None:
    assert any(problem.startswith(variable(field)) for problem in problems(**{field: value}))


@pytest.mark.parametrize("uri", ["s3://key:s3cret@bucket/lake", "s3://key:s3/cret@bucket", "gs://key:s3cret@bucket"])
def test_credentials_in_the_lakes_address_are_refused_and_not_repeated(uri: str) -> None:
    said = "\n".join(problems(lake_uri=uri))
    assert "TIMESTORE_LAKE_URI='" in said
    assert "cret" not in said


def test_a_misspelt_argument_is_refused() -> None:
    assert problems(staging_max_pendin=3) == ("TIMESTORE_STAGING_MAX_PENDIN=3: Extra inputs are not permitted",)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.build().shard = "other"  # type: ignore[misc]


def test_the_object_stores_credentials_are_the_aws_variables(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_REGION", "here")
    environment.setenv("OTHER", "x")
    assert storage_options() == {"AWS_REGION": "here"}
