"""What ledger, staging folder and Delta log say, read without the library."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from timestore_pipeline.tools.crashtest.lake_files import PlainLog


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one dataset. `counted` and `kept`: state -> (batches, rows), by counting and by the running totals."""

    counted: Mapping[str, tuple[int, int]]
    kept: Mapping[str, tuple[int, int]]
    promised_segments: frozenset[str]  # of batches that are not published
    known_segments: frozenset[str]
    segment_files: frozenset[str]
    promised_journals: frozenset[str]  # the same for batches that lie in one, quarantined ones included
    known_journals: frozenset[str]  # of all datasets, as the next
    journal_files: frozenset[str]
    published: list[int]  # rows of the table, sorted
    epochs: list[int]  # of the claims in flight, of which there is one at most
    counters: Mapping[str, int]  # batches: retried, published, quarantined, requeued, discarded; ever


def gather(home: Path, dataset: str) -> Evidence:
    with closing(sqlite3.connect(home / "staging" / "ledger.sqlite")) as ledger:
        one = {"dataset": dataset}
        batches = "FROM batches JOIN datasets USING (dataset_id) WHERE name = :dataset"
        counted = ledger.execute(
            f"SELECT state, sum(batches), sum(rows) FROM (SELECT state, 1 AS batches, rows {batches} UNION ALL"
            " SELECT 'published', last_number - first_number + 1, rows FROM published_runs"
            " JOIN datasets USING (dataset_id) WHERE name = :dataset) GROUP BY state",
            one,
        ).fetchall()
        kept = ledger.execute(
            "SELECT state, batches, volumes.rows FROM volumes JOIN datasets USING (dataset_id)"
            " WHERE name = :dataset AND batches > 0",
            one,
        ).fetchall()
        owed = f"SELECT segment_id {batches} AND state IN ('pending', 'in_flight')"
        promised = ledger.execute(f"{owed} AND record_offset IS NULL", one).fetchall()
        journaled = ledger.execute(
            f"SELECT segment_id {batches} AND state IN ('pending', 'in_flight', 'quarantined')"
            " AND record_offset IS NOT NULL",
            one,
        ).fetchall()
        journals = ledger.execute("SELECT journal_id FROM journals").fetchall()
        known = ledger.execute("SELECT segment_id FROM segments JOIN datasets USING (dataset_id)").fetchall()
        claims = ledger.execute(
            "SELECT epoch FROM flushes JOIN datasets USING (dataset_id)"
            " WHERE name = :dataset AND state IN ('claimed', 'exported')",
            one,
        ).fetchall()
        counters = ledger.execute(
            "SELECT series, sum(value) FROM counters JOIN datasets USING (dataset_id) WHERE name = :dataset"
            " AND series LIKE '%\\_batches\\_total' ESCAPE '\\' AND labels NOT LIKE '%result=failure%'"
            " AND value > 0 GROUP BY series",
            one,
        ).fetchall()
    log = PlainLog(home / "lake" / dataset)
    for _ in log.advance():
        continue
    return Evidence(
        counted={state: (count, rows) for state, count, rows in counted},
        kept={state: (count, rows) for state, count, rows in kept},
        promised_segments=frozenset(segment for (segment,) in promised),
        known_segments=frozenset(segment for (segment,) in known),
        segment_files=frozenset(path.stem for path in (home / "staging" / "segments" / dataset).glob("*.duckdb")),
        promised_journals=frozenset(journal for (journal,) in journaled),
        known_journals=frozenset(journal for (journal,) in journals),
        journal_files=frozenset(path.stem for path in (home / "staging" / "journals").glob("*.journal")),
        published=sorted(n for path in log.live for n in pq.read_table(path, columns=["n"])["n"].to_pylist()),
        epochs=[epoch for (epoch,) in claims],
        counters={series.removesuffix("_batches_total"): int(value) for series, value in counters},
    )
