"""What `timestore datasets retype` says and does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import complaint, staged, timestore, timestore_json


@pytest.fixture
def published(home: Path) -> Path:
    """Two flushes of readings of two days."""
    for rows in (10, 20):
        staged(home, rows=rows)
        timestore("flush", "weather", "--now")
    return home


def column(name: str = "value") -> str:
    document = timestore_json("datasets", "show", "weather")
    [found] = [column["type"] for column in document["schema"]["columns"] if column["name"] == name]
    return str(found)


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(published: Path) -> None:
    before = column()
    output = timestore("datasets", "retype", "weather", "value", "string", "--dry-run")
    assert "to rewrite  4 files, 20 rows" in output
    assert output.endswith("nothing was changed: this is what would be done\n")
    assert column() == before


def test_the_same_summary_and_then_it_is_done(published: Path) -> None:
    output = timestore("datasets", "retype", "weather", "value", "string")
    assert "to rewrite  4 files, 20 rows" in output
    assert "weather: value is string since version" in output
    assert column() == "string"
    timestore("verify", "--deep")


def test_json_is_one_document(published: Path) -> None:
    document = timestore_json("datasets", "retype", "weather", "value", "string")
    assert (document["ok"], document["changed"], document["rows"], document["unfit_rows"]) == (True, True, 20, 0)
    again = timestore_json("datasets", "retype", "weather", "value", "string")
    assert (again["ok"], again["changed"], again["from"]) == (True, False, "string")


def test_values_that_do_not_fit_are_shown_and_refuse_it(published: Path) -> None:
    output = timestore("datasets", "retype", "weather", "name", "double", code=1)
    assert "do not fit  20 rows, 0 batches staged" in output
    assert output.count("in row 0 of") >= 2
    assert "[invalid_data]" in output
    document = timestore_json("datasets", "retype", "weather", "name", "double", code=1)
    assert (document["ok"], document["changed"], len(document["examples"])) == (False, False, 5)
    assert document["errors"][0]["code"] == "invalid_data"


def test_what_cannot_be_asked_for_is_an_error(published: Path) -> None:
    assert "there is no type 'number'" in complaint("datasets", "retype", "weather", "value", "number")
    assert "[missing_table]" in complaint("datasets", "retype", "nothing", "value", "double")
