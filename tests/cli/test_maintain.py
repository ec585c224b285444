"""What `timestore maintain` says and does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import complaint, staged, timestore, timestore_json


@pytest.fixture
def fragmented(home: Path) -> Path:
    """Three flushes of rows of two days: six files."""
    for rows in (10, 20, 30):
        staged(home, rows=rows)
        timestore("flush", "weather", "--now")
    return home


def files(home: Path) -> list[Path]:
    return sorted((home / "lake" / "weather").rglob("*.parquet"))


def test_a_dry_run_changes_nothing_and_says_so(fragmented: Path) -> None:
    before = files(fragmented)
    output = timestore("maintain", "--min-files", "2", "--dry-run")
    assert output.endswith("nothing was changed: this is what would be done\n")
    assert files(fragmented) == before


def test_json_tells_what_was_done(fragmented: Path) -> None:
    document = timestore_json("maintain", "weather", "--min-files", "2", "--retention-days", "0")
    assert (document["ok"], document["dry_run"]) == (True, False)
    [weather] = document["datasets"]
    assert weather["files_before"] == len(weather["deleted_files"]) == 6
    assert weather["files_after"] == len(files(fragmented)) == 2
    timestore("verify")


def test_a_second_run_has_nothing_to_do(fragmented: Path) -> None:
    timestore("maintain", "--min-files", "2")
    assert timestore_json("maintain", "--min-files", "2")["datasets"][0]["compactions"] == 0


def test_a_dataset_that_fails_is_named_and_the_others_are_done(fragmented: Path) -> None:
    staged(fragmented, dataset="flights")
    timestore("flush", "flights", "--now")
    (fragmented / "lake" / "flights" / "_delta_log" / f"{0:020}.json").write_text("{")
    document = timestore_json("maintain", "--min-files", "2", code=1)
    verdicts = {dataset["dataset"]: (dataset["ok"], dataset["compactions"]) for dataset in document["datasets"]}
    assert verdicts == {"flights": (False, 0), "weather": (True, 2)}


def test_an_unknown_dataset_is_refused(fragmented: Path) -> None:
    assert "there is no dataset 'wether' [unknown_dataset]" in complaint("maintain", "wether")


def test_numbers_out_of_range_are_wrong_usage(fragmented: Path) -> None:
    for option in ("--min-files=1", "--target-file-mb=0", "--retention-days=-1"):
        complaint("maintain", option, code=2)


def test_a_dataset_without_a_table_is_no_error(home: Path) -> None:
    timestore("datasets", "set", "weather", "description=nothing yet")
    assert "never published" in timestore("maintain")
