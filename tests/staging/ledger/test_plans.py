"""What is asked at every tick and at every claim costs the same after a year of flushes as on the first day."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from timestore_pipeline.staging.ledger import Ledger, backlogs, claiming


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [(backlogs._BACKLOG, ()), (claiming._IN_FLIGHT, (1,))],
    ids=["tick", "claim"],
)
def test_a_flush_in_flight_is_found_without_reading_those_that_ended(
    tmp_path: Path, sql: str, parameters: tuple[int, ...]
) -> None:
    Ledger(tmp_path / "ledger.sqlite", "shard-0").close()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    assert any("flushes_by_state (state=? AND dataset_id=?)" in step for step in steps)
    assert not any(step.startswith(("SEARCH f USING PRIMARY", "SEARCH flushes USING PRIMARY")) for step in steps)


def test_a_tick_reads_no_batch_and_no_flush_that_it_does_not_seek(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.sqlite", "shard-0").close()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        sql = f"{backlogs._BACKLOG} WHERE d.dataset_id IN ({backlogs._WAITING})"
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert [step for step in steps if step.startswith("SCAN")] == ["SCAN volumes"]
    assert not [step for step in steps if "TEMP B-TREE" in step]
    assert len([step for step in steps if "batches_by_state (dataset_id=? AND state=?)" in step]) == 3
