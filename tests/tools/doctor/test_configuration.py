"""All problems of the limits are reported at once, and settings that are hardly intended as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.doctor.looking import found, seen, staged
from timestore_pipeline import Settings
from timestore_pipeline.tools.doctor.examination import Status
from timestore_pipeline.wiring import Timestore


def test_defaults_are_fine() -> None:
    assert {finding.status for check in ("configuration", "datasets") for finding in found(check)} == {Status.OK}


def test_every_problem_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_PENDING", "none")
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_BYTES", "1000")
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_DATASET_BYTES", "1000")
    problems = seen("configuration", Status.FAILED)
    assert "TIMESTORE_STAGING_MAX_PENDING='none'" in problems
    assert "TIMESTORE_STAGING_FLUSH_MAX_BYTES=1000 does not fit below TIMESTORE_STAGING_MAX_DATASET_BYTES" in problems


def test_wrong_settings_keep_no_other_check_from_being_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged(home)
    monkeypatch.setenv("TIMESTORE_LAKE_URI", "gopher://nowhere")
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_PENDING", "0")
    assert "1 batches of 1 datasets wait" in seen("backlogs", Status.OK)


def test_a_misspelt_variable_is_named_with_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_PENDNG", "10")
    assert "did you mean TIMESTORE_STAGING_MAX_PENDING?" in seen("configuration", Status.WARNING)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"HOME": ""}, ["TIMESTORE_HOME"]),
        ({"HOME": "here"}, ["TIMESTORE_HOME"]),
        ({"HOME": "", "STAGING_DIRECTORY": "/data/staging", "LAKE_URI": "s3://bucket/lake"}, []),
        ({"HOME": "~/timestore", "LAKE_URI": "lake"}, ["TIMESTORE_LAKE_URI"]),
    ],
)
def test_a_folder_of_the_working_directory_is_named(
    variables: dict[str, str], named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster in one folder and a command in another would each have their own rows, and neither an error."""
    for name, value in variables.items():
        monkeypatch.setenv(f"TIMESTORE_{name}", value)
    warned = [one.seen.split()[0] for one in found("configuration") if one.status is Status.WARNING]
    assert warned == named


def test_hard_mode_without_a_limit_is_pointless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_GUARDRAIL_MODE", "hard")
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_DATASET_BYTES", "0")
    assert "nothing is ever rejected" in seen("configuration", Status.WARNING)


@pytest.mark.parametrize(("age", "why"), [("120000", "the pager fires"), ("0", "never flushed")])
def test_an_age_that_pages_or_never_comes_is_reported(age: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_AGE_MS", age)
    assert why in seen("configuration", Status.WARNING)


def test_a_dataset_whose_threshold_reaches_a_guardrail_that_was_lowered_later_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Timestore(Settings.build(home=home)) as store:
        store.set_metadata("weather", {"staging": {"flush": {"maxBytes": 200_000_000, "maxAgeMs": 300_000}}})
    monkeypatch.setenv("TIMESTORE_STAGING_MAX_DATASET_BYTES", "150000000")
    assert "weather: staging.flush.maxBytes=200000000 does not fit" in seen("datasets", Status.FAILED)
    assert "weather: a batch may wait 300 s" in seen("datasets", Status.WARNING)
