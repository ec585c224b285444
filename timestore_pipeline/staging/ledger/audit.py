"""What `timestore verify` reads: all facts about one dataset as of one instant, counted again instead of remembered.

`volumes` are the running totals; everything else here is counted from the rows that moved, so the two can be compared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from timestore_pipeline.errors import UnreadableLedger
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger.datasets import dataset_id_of
from timestore_pipeline.staging.ledger.flush_stretches import FlushStretch, stretches_of
from timestore_pipeline.staging.ledger.journals import OWED, RecordPlace, places_of
from timestore_pipeline.staging.ledger.log_import import FROM_THE_LOG

Totals = Mapping[str, Volume]  # batch state, or 'accepted' -> volume; absent = none


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """The same amounts, kept and counted."""

    kept: Totals  # the running totals
    counted: Totals  # batches that are still known, by state; published ones are forgotten in time
    flushed: Volume  # claimed by flushes that were published, never forgotten
    claimed: Volume  # claimed by flushes that have not ended


@dataclass(frozen=True, slots=True)
class FlushFacts:
    """A flush that holds files, or did."""

    epoch: int
    state: FlushState
    batches: int
    rows: int
    files: Mapping[str, int]  # path -> rows


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """A segment and the batches promised from it that are not published yet."""

    segment_id: str
    known: bool  # False = batches name it, but it has no row of its own
    promised: Mapping[int, int] = field(default_factory=dict)  # sequence -> rows


@dataclass(frozen=True, slots=True)
class ProvenanceGap:
    """A published batch, or a run of them, whose rows are not all traced to files."""

    batches: str  # the id, or the first and the last
    rows: int
    traced: int


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """One dataset, one instant."""

    totals: LedgerTotals
    stretches: Sequence[FlushStretch]  # of old flushes
    flushes: Sequence[FlushFacts]  # the others, oldest first; aborted ones are left out
    segments: Sequence[SegmentFacts]
    records: Sequence[RecordPlace]  # in journals, with batches that are owed
    provenance_gaps: Sequence[ProvenanceGap]

    @classmethod
    def empty(cls) -> LedgerFacts:
        """Of a dataset that the ledger does not know."""
        return cls(LedgerTotals({}, {}, Volume(), Volume()), (), (), (), (), ())


class Audit:
    """Reads over all tables, and the one mend that needs no file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def facts(self, dataset: str) -> LedgerFacts:
        """Everything in one snapshot; raises `UnknownDataset`."""
        with self._database.snapshot() as tx:
            dataset_id = dataset_id_of(tx, dataset)
            return LedgerFacts(
                _totals(tx, dataset_id),
                stretches_of(tx, dataset_id),
                _flushes(tx, dataset_id),
                _segments(tx, dataset_id),
                places_of(tx.execute(OWED, (dataset,)).fetchall()),
                _gaps(tx, dataset_id),
            )

    def totals(self, dataset: str) -> LedgerTotals:
        """The totals alone, kept and counted: cheap enough to read all day; raises `UnknownDataset`."""
        with self._database.snapshot() as tx:
            return _totals(tx, dataset_id_of(tx, dataset))

    def check_file(self) -> None:
        """Have SQLite check its own file; raises `UnreadableLedger`."""
        [verdict] = self._database.rows("PRAGMA integrity_check(1)")
        if verdict[0] != "ok":
            raise UnreadableLedger(
                f"the ledger {self._database.path} is damaged: {verdict[0]}",
                hint="stop all processes and run `timestore recover`: it keeps the file and rebuilds the ledger",
            )

    def epochs(self, dataset: str) -> dict[int, FlushState]:
        """Every claimed epoch outside the stretches, and its state now."""
        rows = self._database.rows(
            "SELECT epoch, flushes.state FROM flushes JOIN datasets USING (dataset_id) WHERE name = ?", (dataset,)
        )
        return {row["epoch"]: FlushState(row["state"]) for row in rows}

    def promises(self, segment_id: str) -> dict[int, int]:
        """Sequence -> rows of the segment's batches that are not published yet."""
        with self._database.snapshot() as tx:
            rows = tx.execute(f"{_PROMISED} AND segment_id = ?", (segment_id,))
            return {row["sequence"]: row["rows"] for row in rows}

    def is_known(self, segment_id: str) -> bool:
        return self._database.row("SELECT 1 FROM segments WHERE segment_id = ?", (segment_id,)) is not None

    def mend_totals(self, dataset: str, mend: Callable[[LedgerTotals], Totals | None]) -> bool:
        """Replace the running totals by what `mend` makes of both sides; False when it returns None.

        One transaction, so that no batch moves between the count and the writing.
        """
        with self._database.transaction() as tx:
            dataset_id = dataset_id_of(tx, dataset)
            mended = mend(_totals(tx, dataset_id))
            if mended is None:
                return False
            tx.execute("DELETE FROM volumes WHERE dataset_id = ?", (dataset_id,))
            tx.executemany(
                "INSERT INTO volumes (dataset_id, state, batches, rows, bytes) VALUES (?, ?, ?, ?, ?)",
                [(dataset_id, state, v.batches, v.rows, v.bytes) for state, v in mended.items()],
            )
            return True


_PROMISED = (
    "SELECT segment_id, sequence, rows FROM batches WHERE state IN ('pending', 'in_flight') AND record_offset IS NULL"
)
# By state; published batches have rows of their own until they are folded.
_COUNTED = """
SELECT state, sum(batches) AS batches, sum(rows) AS rows, sum(bytes) AS bytes FROM (
    SELECT state, 1 AS batches, rows, bytes FROM batches WHERE dataset_id = ?
    UNION ALL
    SELECT 'published', last_number - first_number + 1, rows, bytes FROM published_runs WHERE dataset_id = ?
) GROUP BY state
"""


def _totals(tx: sqlite3.Connection, dataset_id: int) -> LedgerTotals:
    kept = tx.execute("SELECT state, batches, rows, bytes FROM volumes WHERE dataset_id = ?", (dataset_id,))
    counted = tx.execute(_COUNTED, (dataset_id, dataset_id))
    return LedgerTotals(
        kept={row["state"]: _volume(row) for row in kept},
        counted={row["state"]: _volume(row) for row in counted},
        flushed=sum((one.volume for one in stretches_of(tx, dataset_id)), _claimed(tx, dataset_id, "('published')")),
        claimed=_claimed(tx, dataset_id, "('claimed', 'exported')"),
    )


def _claimed(tx: sqlite3.Connection, dataset_id: int, states: str) -> Volume:
    row = tx.execute(
        "SELECT coalesce(sum(batches), 0) AS batches, coalesce(sum(rows), 0) AS rows, coalesce(sum(bytes), 0) AS bytes"
        f" FROM flushes WHERE dataset_id = ? AND state IN {states}",
        (dataset_id,),
    ).fetchone()
    return _volume(row)


def _volume(row: sqlite3.Row) -> Volume:
    return Volume(row["batches"], row["rows"], row["bytes"])


def _flushes(tx: sqlite3.Connection, dataset_id: int) -> list[FlushFacts]:
    files: dict[int, dict[str, int]] = {}
    for row in tx.execute("SELECT epoch, path, rows FROM files WHERE dataset_id = ?", (dataset_id,)):
        files.setdefault(row["epoch"], {})[row["path"]] = row["rows"]
    rows = tx.execute(
        "SELECT epoch, state, batches, rows FROM flushes WHERE dataset_id = ? AND state != 'aborted' ORDER BY epoch",
        (dataset_id,),
    )
    return [
        FlushFacts(row["epoch"], FlushState(row["state"]), row["batches"], row["rows"], files.get(row["epoch"], {}))
        for row in rows
    ]


def _segments(tx: sqlite3.Connection, dataset_id: int) -> list[SegmentFacts]:
    promised: dict[str, dict[int, int]] = {}
    for row in tx.execute(f"{_PROMISED} AND dataset_id = ?", (dataset_id,)):
        promised.setdefault(row["segment_id"], {})[row["sequence"]] = row["rows"]
    listed = tx.execute("SELECT segment_id FROM segments WHERE dataset_id = ?", (dataset_id,))
    found = [SegmentFacts(row["segment_id"], True, promised.pop(row["segment_id"], {})) for row in listed]
    return found + [SegmentFacts(name, False, batches) for name, batches in promised.items()]


_TRACED = """
SELECT batches.batch_id AS name, batches.rows, coalesce(sum(batch_files.rows), 0) AS traced
FROM batches LEFT JOIN batch_files USING (batch_id)
WHERE dataset_id = :id AND state = 'published' AND epoch IN ({ours})
GROUP BY batches.batch_id HAVING traced != batches.rows
UNION ALL
SELECT printf('%s-%06d to %06d', stream_id, first_number, last_number), runs.rows, coalesce(sum(run_files.rows), 0)
FROM published_runs AS runs LEFT JOIN run_files USING (run_id)
WHERE dataset_id = :id AND epoch IN ({ours})
GROUP BY run_id HAVING coalesce(sum(run_files.rows), 0) != runs.rows
"""


def _gaps(tx: sqlite3.Connection, dataset_id: int) -> list[ProvenanceGap]:
    """Of flushes by this ledger: one entered from the Delta log does not say which batch went to which file."""
    ours = "SELECT epoch FROM flushes WHERE dataset_id = :id AND owner != :log"
    rows = tx.execute(_TRACED.format(ours=ours), {"id": dataset_id, "log": FROM_THE_LOG})
    return [ProvenanceGap(row["name"], row["rows"], row["traced"]) for row in rows]
