"""Batches are the same each time, and their checksums are what the oracle computes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from timestore_pipeline import Settings
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.tools.crashtest.schedule import checksum_sql
from timestore_pipeline.tools.simulate.load import Load, make_batch


def _plan(home: Path) -> Load:
    return Load.under(Settings.build(home=home), home, datetime(2026, 1, 1, tzinfo=UTC), rows=50)


def test_the_same_plan_makes_the_same_batches_and_another_producer_others(tmp_path: Path) -> None:
    plan = Load.from_json(_plan(tmp_path).to_json())
    with open_engine() as connection:
        first, again, other = (make_batch(plan, connection, producer, 3) for producer in (0, 0, 1))
    assert first.table.equals(again.table)
    assert (first.digest, first.dataset) == (again.digest, "simulation-0")
    assert first.digest != other.digest


def test_the_oracle_computes_the_checksums(tmp_path: Path) -> None:
    with open_engine() as connection:
        rows = make_batch(_plan(tmp_path), connection, 0, 0).table
        found = connection.sql(f"SELECT bool_and(checksum = {checksum_sql(rows.column_names)}), count(*) FROM rows")
        assert found.fetchall() == [(True, 50)]


def test_the_settings_in_force_go_along_but_for_places_and_secrets(tmp_path: Path) -> None:
    mine = Settings.build(
        home=tmp_path / "mine", shard="mine", staging_max_pending=3, api_token="secret", pushgateway_url="http://gate"
    )
    plan = Load.from_json(Load.under(mine, tmp_path / "other", datetime(2026, 1, 1, tzinfo=UTC)).to_json())
    theirs = plan.settings()
    assert "secret" not in plan.to_json()
    assert (theirs.staging_max_pending, theirs.shard, theirs.pushgateway_url) == (3, "simulation", None)
    assert theirs.staging_directory == tmp_path / "other" / "staging"
    assert theirs.lake_uri == str(tmp_path / "other" / "lake")
