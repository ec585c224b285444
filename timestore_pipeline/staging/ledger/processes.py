"""The processes that own segments or claims, so that other processes can check whether an owner is alive."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from timestore_pipeline.staging.ledger.database import Database, instant_or_none
from timestore_pipeline.system import clock


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

    def find(self, process_id: str) -> ProcessRecord | None:
        row = self._database.row("SELECT process_id, pid, host FROM processes WHERE process_id = ?", (process_id,))
        return None if row is None else ProcessRecord(row["process_id"], row["pid"], row["host"])

    def renew(self, process_id: str) -> None:
        """Record that the process works on its claims at this moment."""
        with self._database.transaction() as tx:
            sign_of_life(tx, process_id)

    def heartbeat_at(self, process_id: str) -> datetime | None:
        """The last sign of life for its claims; None = it never held one, or is forgotten."""
        row = self._database.row("SELECT heartbeat_at FROM processes WHERE process_id = ?", (process_id,))
        return None if row is None else instant_or_none(row["heartbeat_at"])

    def forget_idle(self, process_id: str) -> bool:
        """Remove a process that neither builds a segment nor owns a claim; False when it still does."""
        with self._database.transaction() as tx:
            removed = tx.execute(
                "DELETE FROM processes WHERE process_id = :id"
                " AND NOT EXISTS (SELECT 1 FROM segments WHERE owner = :id AND state = 'building')"
                " AND NOT EXISTS (SELECT 1 FROM flushes WHERE owner = :id AND state IN ('claimed', 'exported'))",
                {"id": process_id},
            )
            return removed.rowcount == 1


def sign_of_life(tx: sqlite3.Connection, process_id: str) -> None:
    """Inside the transaction that makes the process a claim's owner: a claim is never without a lease."""
    now = clock.to_micros(clock.now())
    tx.execute("UPDATE processes SET heartbeat_at = ? WHERE process_id = ?", (now, process_id))
