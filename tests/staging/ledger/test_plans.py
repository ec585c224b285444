"""What is asked at every tick and at every claim costs the same after a year of flushes as on the first day."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.staging.promises import START, batch, journal
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.model.lake import ExportedFile, PartitionKey
from timestore_pipeline.staging.ledger import Ledger, backlogs, claim_contents
from timestore_pipeline.staging.ledger.exports import BatchShare

# The tables that grow with what is published; a search by dataset alone reads all of the dataset's rows. The newest
# flush of a backlog, `l`, is the first that such a search finds.
_GROWING = r"(batches|b|flushes|f|files|batch_files|published_runs|published_keys|keys|run_files|flush_stretches)"
_READS_ALL = re.compile(rf"SCAN {_GROWING}\b|SEARCH {_GROWING} .*\(dataset_id=\?\)$")
_IN_JOURNALS = "batches_in_journals"  # an index that published batches leave when they are folded


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [(backlogs._BACKLOG, ()), (claim_contents._IN_FLIGHT, (1,))],
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


def test_no_step_from_promise_to_finalize_reads_what_was_published_before(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", "shard-0")
    statements: set[str] = set()
    with ledger.database.transaction() as writer, ledger.database.snapshot() as reader:
        for connection in (writer, reader):
            connection.set_trace_callback(statements.add)
    _flush(ledger)
    plans = {
        statement: _plan(ledger, statement)
        for statement in statements
        if ("SELECT" in statement or "=" in statement) and not statement.startswith("PRAGMA")
    }
    ledger.close()
    assert len(plans) > 20
    assert {sql: steps for sql, plan in plans.items() if (steps := list(filter(_reads_all, plan)))} == {}


def _flush(ledger: Ledger) -> None:
    """Everything that producers, roll-up, tick and flush ask of the ledger."""
    journal(ledger, "d", "j", batch("b", 0, key="k"), batch("b", 1))
    ledger.batches.known_keys(1, ["k"])
    ledger.journals.waiting("d")
    ledger.segments.register("s", 1, "owner")
    ledger.journals.batches_waiting("d")
    ledger.journals.move("s", {"b-000000": 0, "b-000001": 1})
    ledger.journals.idle()
    ledger.backlogs.waiting()
    ref = ledger.flushes.claim("d", Trigger.ROWS, "run", "owner")
    assert ref == FlushRef("d", 1)
    ledger.flushes.claimed_segments(ref)
    ledger.batches.of_flush(ref)
    ledger.batches.rows_of_flush(ref)
    ledger.batches.complete_until("d", with_claim=True)
    file = ExportedFile("p", 20, 160, PartitionKey(None, None), "", None, None)
    ledger.flushes.record_export(ref, [file], [BatchShare("b-000000", 0, 10), BatchShare("b-000001", 0, 10)])
    ledger.flushes.files(ref)
    assert ledger.flushes.finalize(ref, 1)
    assert [segment.segment_id for segment in ledger.segments.drained("d")] == ["s"]
    ledger.segments.forget(["s"])
    assert ledger.published.fold("d") == 2
    ledger.published.prune("d", START)
    assert list(ledger.batches.known_keys(1, ["k"])) == ["k"]


def _plan(ledger: Ledger, statement: str) -> list[str]:
    with ledger.database.snapshot() as tx:
        return [row[3] for row in tx.execute(f"EXPLAIN QUERY PLAN {statement}")]


def _reads_all(step: str) -> bool:
    return _READS_ALL.search(step) is not None and _IN_JOURNALS not in step
