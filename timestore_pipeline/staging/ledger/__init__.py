"""The ledger: what is staged, claimed and published. Every SQL statement against it stands in this package.

Any process may use it; each call is one short transaction.
"""

from __future__ import annotations

from pathlib import Path

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.staging.ledger.audit import Audit
from timestore_pipeline.staging.ledger.backlogs import Backlogs
from timestore_pipeline.staging.ledger.batches import Batches
from timestore_pipeline.staging.ledger.counters import Counters, Verifications
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger.datasets import Datasets
from timestore_pipeline.staging.ledger.declarations import Declarations
from timestore_pipeline.staging.ledger.flush_failures import FlushFailures
from timestore_pipeline.staging.ledger.flush_rows import Phases
from timestore_pipeline.staging.ledger.flush_stretches import FlushStretches
from timestore_pipeline.staging.ledger.flushes import Flushes
from timestore_pipeline.staging.ledger.incidents import Incidents
from timestore_pipeline.staging.ledger.journals import Journals
from timestore_pipeline.staging.ledger.log_import import LogImport
from timestore_pipeline.staging.ledger.processes import Processes
from timestore_pipeline.staging.ledger.published import Published
from timestore_pipeline.staging.ledger.pushes import Pushes
from timestore_pipeline.staging.ledger.quarantine_moves import Quarantine
from timestore_pipeline.staging.ledger.schema import prepare
from timestore_pipeline.staging.ledger.schema_changes import SchemaChanges
from timestore_pipeline.staging.ledger.segment_import import SegmentImport
from timestore_pipeline.staging.ledger.segment_rows import Segments
from timestore_pipeline.staging.ledger.staged import StagedFiles

__all__ = ["SENSOR_LAST_TICK", "Ledger"]

SENSOR_LAST_TICK = "sensor_last_tick"  # when the flush sensor last looked at the backlogs


class Ledger:
    """One open ledger file; safe to share between the threads of a process, not across a fork."""

    def __init__(self, path: Path, shard: str, *, may_be_new: bool = True) -> None:
        """may_be_new: False = segments are staged already, so a file without tables is `LedgerLost`."""
        self.shard = shard
        self.database = Database(path)
        try:
            prepare(self.database, shard, may_be_new=may_be_new)
        except TimestoreError:
            self.database.close()
            raise
        self.datasets = Datasets(self.database)
        self.declarations = Declarations(self.database)
        self.schema_changes = SchemaChanges(self.database)
        self.batches = Batches(self.database)
        self.published = Published(self.database)
        self.backlogs = Backlogs(self.database)
        self.flush_failures = FlushFailures(self.database)
        self.journals = Journals(self.database)
        self.segments = Segments(self.database)
        self.flushes = Flushes(self.database)
        self.flush_stretches = FlushStretches(self.database)
        self.incidents = Incidents(self.database)
        self.quarantine = Quarantine(self.database)
        self.processes = Processes(self.database)
        self.counters = Counters(self.database)
        self.verifications = Verifications(self.database)
        self.audit = Audit(self.database)
        self.staged = StagedFiles(self.database)
        self.log_import = LogImport(self.database)
        self.segment_import = SegmentImport(self.database)
        self.identity = self.get_meta("ledger_id") or ""  # made with the file; a copy has the same one
        self.pushes = Pushes(self.database)
        self.phases = Phases(self.database)

    def get_meta(self, key: str) -> str | None:
        """A fact about the whole shard, None when it was never set; see `set_meta`."""
        row = self.database.row("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row["value"])

    def set_meta(self, key: str, value: str) -> None:
        """Write a fact down. Instants, like `SENSOR_LAST_TICK`, are microseconds since the Unix epoch, as text."""
        with self.database.transaction() as tx:
            tx.execute(
                "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )

    def open_incidents(self) -> int:
        """How many incidents in quarantine wait for an operator's decision."""
        row = self.database.row("SELECT count(*) AS open FROM incidents WHERE resolution IS NULL")
        return int(row["open"]) if row else 0

    def close(self) -> None:
        self.database.close()
