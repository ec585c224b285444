"""The ledger read without changing anything: no file is made, no lock is waited for long.

A file in WAL mode that is open nowhere has no log beside it, and a read-only connection would leave one: such a file is
read as it lies. If a process opens it meanwhile, the pages read may not fit together, so it is read once more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from timestore_pipeline.errors import UnreadableLedger
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.model.flush import FlushBlock
from timestore_pipeline.staging.ledger.database import Row, translated
from timestore_pipeline.staging.ledger.flush_failures import block_of
from timestore_pipeline.system import clock

T = TypeVar("T")

_WAIT = 2.0  # seconds; readers of a WAL file wait for a checkpoint's last step and for recovery only

# The newest instant of each kind that this host wrote down itself.
_WRITTEN = {
    "a batch was staged": (
        "SELECT max(at) FROM (SELECT max(staged_at) AS at FROM batches"
        " UNION ALL SELECT max(last_staged_at) FROM published_runs)"
    ),
    "a flush was claimed": "SELECT max(claimed_at) FROM flushes",
    "a flush ended": "SELECT max(finished_at) FROM flushes",
    "a process started": "SELECT max(started_at) FROM processes",
    "the flush sensor ticked": "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'sensor_last_tick'",
}


@dataclass(frozen=True, slots=True)
class DatasetHealth:
    """What may be wrong with one dataset; volumes in batches."""

    name: str
    metadata: DatasetMetadata
    paused: bool
    failures: int  # flushes failed in a row
    last_error: str | None  # of the newest flush, if that failed
    block: FlushBlock | None  # why no flush is tried
    pending: int
    in_flight: int
    open_incidents: int
    oldest_staged_at: datetime | None  # pending and in flight; None = nothing is


@dataclass(frozen=True, slots=True)
class Holding:
    """What a process answers for; `pid` None = the ledger has forgotten it."""

    process_id: str
    pid: int | None
    host: str | None
    unfinished_segments: int
    claims: int


class LedgerInspection:
    """Reads over one connection; each raises a `TimestoreError` when SQLite cannot give it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    def meta(self) -> dict[str, str]:
        """Facts about the whole shard: `format_version`, `shard`, `ledger_id`, `sensor_last_tick`, …"""
        return {row["key"]: row["value"] for row in self._rows("SELECT key, value FROM meta")}

    def sensor_ticked_at(self) -> datetime | None:
        """None = no flush sensor has run on this directory yet."""
        ticked = self.meta().get("sensor_last_tick")
        return None if ticked is None else clock.from_micros(int(ticked))

    def check_file(self) -> None:
        """Have SQLite look at its pages, without the indexes; raises `UnreadableLedger`."""
        [verdict] = self._rows("PRAGMA quick_check(1)")
        if verdict[0] != "ok":
            hint = "stop all processes and run `timestore recover`: it keeps the file and rebuilds the ledger"
            raise UnreadableLedger(f"the ledger {self._path} is damaged: {verdict[0]}", hint=hint)

    def newest_instants(self) -> dict[str, datetime]:
        """What happened last, by kind; kinds that never happened are left out."""
        found = {kind: self._rows(sql) for kind, sql in _WRITTEN.items()}
        return {kind: clock.from_micros(rows[0][0]) for kind, rows in found.items() if rows and rows[0][0] is not None}

    def datasets(self) -> list[DatasetHealth]:
        """Those in use, in name order; raises `InvalidMetadata` for a row that cannot be read."""
        return [_health(row) for row in self._rows(_HEALTH)]

    def holdings(self) -> list[Holding]:
        """Every process that builds a segment or owns a claim, in the order of the ids."""
        return [
            Holding(row["owner"], row["pid"], row["host"], row["segments"], row["claims"])
            for row in self._rows(_HOLDINGS)
        ]

    def _rows(self, sql: str) -> list[Row]:
        with translated(self._path):
            return self._connection.execute(sql).fetchall()


def inspect(path: Path, look: Callable[[LedgerInspection], T]) -> T:
    """What `look` finds; raises as `look_at` does."""
    return look_at(path, lambda connection: look(LedgerInspection(path, connection)))


_HEALTH = """
SELECT name, metadata, paused, failures, blocked,
    (SELECT error FROM flushes l WHERE l.dataset_id = d.dataset_id ORDER BY epoch DESC LIMIT 1) AS last_error,
    coalesce((SELECT batches FROM volumes v WHERE v.dataset_id = d.dataset_id AND state = 'pending'), 0) AS pending,
    coalesce((SELECT batches FROM volumes v WHERE v.dataset_id = d.dataset_id AND state = 'in_flight'), 0) AS in_flight,
    (SELECT count(*) FROM incidents i WHERE i.dataset_id = d.dataset_id AND resolution IS NULL) AS open_incidents,
    (SELECT min(staged_at) FROM batches b
        WHERE b.dataset_id = d.dataset_id AND b.state IN ('pending', 'in_flight')) AS oldest
FROM datasets d WHERE removed_at IS NULL ORDER BY name
"""

_HOLDINGS = """
SELECT owner, pid, host, sum(segment) AS segments, sum(claim) AS claims
FROM (
    SELECT owner, 1 AS segment, 0 AS claim FROM segments WHERE state = 'building'
    UNION ALL SELECT owner, 0, 1 FROM flushes WHERE state IN ('claimed', 'exported')
) LEFT JOIN processes ON process_id = owner
GROUP BY owner ORDER BY owner
"""


def _health(row: Row) -> DatasetHealth:
    return DatasetHealth(
        name=row["name"],
        metadata=DatasetMetadata.parse(row["metadata"]),
        paused=bool(row["paused"]),
        failures=row["failures"],
        last_error=row["last_error"],
        block=block_of(row["blocked"]),
        pending=row["pending"],
        in_flight=row["in_flight"],
        open_incidents=row["open_incidents"],
        oldest_staged_at=None if row["oldest"] is None else clock.from_micros(row["oldest"]),
    )


def look_at(path: Path, look: Callable[[sqlite3.Connection], T]) -> T:
    """What `look` finds; path: of a ledger that exists. Raises `AccessDenied`, `LedgerBusy` or `UnreadableLedger`."""
    quiet = not _log(path).exists()
    try:
        return _look_once(path, look)
    except UnreadableLedger:
        if not quiet or not _log(path).exists():
            raise
    return _look_once(path, look)


def uri_of(path: Path, options: str) -> str:
    """SQLite's name for a file: without quotes, `%20`, `?` and `#` in a folder's name would lead to another file."""
    return f"file:{quote(str(path))}?{options}"


def _look_once(path: Path, look: Callable[[sqlite3.Connection], T]) -> T:
    as_it_lies = "" if _log(path).exists() else "&immutable=1"
    with (
        translated(path),
        closing(sqlite3.connect(uri_of(path, f"mode=ro{as_it_lies}"), uri=True, timeout=_WAIT)) as connection,
    ):
        connection.row_factory = sqlite3.Row
        return look(connection)


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")
