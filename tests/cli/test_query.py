"""SQL sees what is published and what is staged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.running import complaint, staged, timestore, timestore_json
from timestore_pipeline.cli.app import app


@pytest.fixture
def published(home: Path) -> None:
    staged(home)
    timestore("flush", "weather", "--now")


def test_rows_are_an_array_of_objects(home: Path, published: None) -> None:
    rows = timestore_json("query", "SELECT * FROM weather ORDER BY value LIMIT 1")
    assert rows == [
        {"at": "2013-01-01T00:00:00+00:00", "value": 0, "name": "station 0", "partition_date": "2013-01-01"}
    ]


def test_staged_rows_are_seen_unless_asked_otherwise(home: Path, published: None) -> None:
    staged(home, rows=60)  # the keys of the first 40 are known
    assert timestore_json("query", "SELECT count(*) AS n FROM weather") == [{"n": 60}]
    assert timestore_json("query", "--published-only", "SELECT count(*) AS n FROM weather") == [{"n": 40}]


def test_published_rows_need_no_staging_directory(home: Path, published: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_DIRECTORY", str(home / "nowhere"))
    assert timestore_json("query", "--published-only", "SELECT count(*) AS n FROM weather") == [{"n": 40}]
    assert not (home / "nowhere").exists()


def test_an_empty_result_is_an_empty_array(home: Path, published: None) -> None:
    assert timestore_json("query", "SELECT * FROM weather WHERE value < 0") == []


def test_a_name_with_a_dash_needs_quotes(home: Path) -> None:
    staged(home, dataset="weather-hourly.v1")
    timestore("flush", "--all", "--now")
    assert timestore_json("query", 'SELECT count(*) AS n FROM "weather-hourly.v1"') == [{"n": 40}]
    assert "need double quotes" in complaint("query", "SELECT count(*) FROM weather-hourly.v1")


def test_two_datasets_can_be_joined(home: Path) -> None:
    staged(home, rows=10, dataset="a")
    staged(home, rows=20, dataset="b")
    timestore("flush", "--all", "--now")
    assert timestore_json("query", "SELECT count(*) AS n FROM a JOIN b USING (value)") == [{"n": 10}]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("TIMESTAMPTZ '2013-01-01 05:00:00+01'", "2013-01-01T04:00:00+00:00"),
        ("TIMESTAMP '2013-01-01 05:00:00.5'", "2013-01-01T05:00:00.500000"),
        ("DATE '2013-01-01'", "2013-01-01"),
        ("1.50::DECIMAL(9, 2)", "1.50"),
        ("'nan'::DOUBLE", None),
        ("NULL", None),
        ("true", True),
        ("'\\xFF'::BLOB", "/w=="),
        ("INTERVAL '1 month 90.5 seconds'", "P1M0DT90.5S"),
        ("[1, NULL]", [1, None]),
        ("{'a': DATE '2013-01-01'}", {"a": "2013-01-01"}),
        ("'Zürich'", "Zürich"),
    ],
)
def test_values_become_json(home: Path, expression: str, expected: object) -> None:
    assert timestore_json("query", f"SELECT {expression} AS v") == [{"v": expected}]


def test_columns_of_one_name_get_different_names(home: Path) -> None:
    assert timestore_json("query", "SELECT 1 AS n, 2 AS n") == [{"n": 1, "n_2": 2}]


def test_a_person_gets_a_table(home: Path, published: None) -> None:
    output = timestore("query", "SELECT value, name, NULL AS nothing FROM weather ORDER BY value LIMIT 2")
    assert [line.split() for line in output.splitlines()] == [
        ["value", "name", "nothing"],
        ["0", "station", "0", "NULL"],
        ["1", "station", "1", "NULL"],
    ]


def test_a_long_table_says_that_it_was_cut(home: Path) -> None:
    assert "the first 1,000 rows are shown" in complaint("query", "FROM range(1500)", code=0)
    assert len(timestore_json("query", "FROM range(1500)")) == 1500


def test_sql_that_is_wrong_is_one_line(home: Path, published: None) -> None:
    message = complaint("query", "SELECT nothing FROM weather")
    assert message.startswith("error: query refused: Binder Error: ")
    assert message.endswith("hint: datasets: weather; names with '-' or '.', and SQL keywords, need double quotes\n")
    assert message.count("\n") == 2


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT at FROM weather",
        "SELECT max(at) FROM weather WHERE at > now()",
        "SELECT value FROM weather ORDER BY at",
        "SELECT value FROM weather GROUP BY date_trunc('day', at), value",
    ],
)
def test_a_column_that_is_named_like_a_keyword_is_named_with_its_quotes(home: Path, published: None, sql: str) -> None:
    assert complaint("query", sql).endswith(
        'hint: at is a keyword of SQL; a column or dataset of that name needs double quotes: "at"\n'
    )
    timestore("query", re.sub(r"\bat\b", '"at"', sql))  # as it says


def test_no_table_or_function_of_duckdb_is_suggested(home: Path, published: None) -> None:
    for sql in ("SELECT * FROM prepared_statements", "SELECT nosuch(value) FROM weather"):
        message = complaint("query", sql)
        assert "does not exist!" in message
        assert "Did you mean" not in message


def test_a_missing_file_is_an_error_and_not_fewer_rows(home: Path, published: None) -> None:
    next((home / "lake" / "weather").rglob("*.parquet")).unlink()
    message = complaint("query", "SELECT sum(value) FROM weather")
    assert ".parquet is missing in" in message
    assert "[corrupted]" in message


def test_a_staging_directory_that_cannot_be_used_leaves_the_lake(
    home: Path, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("TIMESTORE_STAGING_DIRECTORY", str(home / "file"))
    assert "--published-only reads the lake" in complaint("query", "FROM weather", code=2)


@pytest.mark.parametrize(
    "sql",
    [
        "SET threads = 1",
        "CREATE TABLE t AS SELECT 1",
        "COPY weather TO 'weather.csv'",
        "ATTACH 'weather.duckdb'",
        "SELECT 1; SELECT 2",
        "",
        "SELECT * FROM read_text('/etc/hostname')",
        "FROM '/etc/hostname'",
        "FROM glob('/etc/*')",
    ],
)
def test_a_query_only_reads_datasets(home: Path, published: None, sql: str) -> None:
    assert "[invalid_query]" in complaint("query", sql)


def test_rows_after_which_reading_fails_are_no_whole_array(home: Path) -> None:
    in_order = "SELECT unnest(range(1000000)) AS i"  # one row is scanned by one thread: the good half comes first
    sql = f"SELECT CASE WHEN i < 500000 THEN i ELSE error('boom') END AS i FROM ({in_order})"
    result = CliRunner().invoke(app, ["query", sql, "--json"])
    assert result.exit_code == 1
    assert "boom" in result.stderr
    assert result.stdout.startswith('[{"i": 0}')
    with pytest.raises(json.JSONDecodeError):
        json.loads(result.stdout)
