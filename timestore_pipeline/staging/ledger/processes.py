"""The processes that own segments or claims, so that others can ask whether an owner lives."""

from __future__ import annotations

from dataclasses import dataclass

from timestore_pipeline import clock
from timestore_pipeline.staging.ledger.database import Database


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    process_id: str
    pid: int
    host: str


class Processes:
    """The `processes` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, process: ProcessRecord) -> None:
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT INTO processes (process_id, pid, host, started_at) VALUES (?, ?, ?, ?)",
                (process.process_id, process.pid, process.host, clock.to_micros(clock.now())),
            )

    def all(self) -> list[ProcessRecord]:
        rows = self._database.rows("SELECT process_id, pid, host FROM processes ORDER BY process_id")
        return [ProcessRecord(row["process_id"], row["pid"], row["host"]) for row in rows]

    def forget_idle(self, process_id: str) -> bool:
        """Remove a process that owns neither an open segment nor a claim; False when it still owns one."""
        with self._database.transaction() as tx:
            removed = tx.execute(
                "DELETE FROM processes WHERE process_id = :id"
                " AND NOT EXISTS (SELECT 1 FROM segments WHERE owner = :id AND state = 'open')"
                " AND NOT EXISTS (SELECT 1 FROM flushes WHERE owner = :id AND state IN ('claimed', 'exported'))",
                {"id": process_id},
            )
            return removed.rowcount == 1
