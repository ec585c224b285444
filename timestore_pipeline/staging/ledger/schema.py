"""The ledger's tables, its version and the shard it belongs to.

`volumes` holds running totals per dataset and state, changed in the very transactions that move batches, so that a
backlog is read in constant time; `timestore verify` counts the batches again and compares. Instants are microseconds
since the Unix epoch, UTC.
"""

from __future__ import annotations

import sqlite3
import uuid

from timestore_pipeline.errors import LedgerLost, LedgerMismatch
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger_format import FORMAT_VERSION

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS datasets (
    dataset_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    metadata TEXT NOT NULL DEFAULT '{}',
    schema TEXT,                      -- canonical columns as JSON; NULL until the first batch
    schema_version INTEGER NOT NULL DEFAULT 0,
    time_column TEXT,                 -- fixed once a flush has begun, like the granularity (NULL = open): a Delta table
    granularity TEXT,                 -- cannot change its partition columns
    paused INTEGER NOT NULL DEFAULT 0,
    last_epoch INTEGER NOT NULL DEFAULT 0,
    manual_requested_at INTEGER,
    manual_requested_epoch INTEGER,   -- last_epoch at the request: a later epoch fulfils it, whatever the clock says
    failures INTEGER NOT NULL DEFAULT 0,
    retry_at INTEGER,
    blocked TEXT,                     -- why no flush can succeed before something is changed, as JSON; NULL = nothing
    claim_bytes INTEGER,              -- most bytes of the next claim; NULL = as configured
    times_retyped INTEGER NOT NULL DEFAULT 0,   -- see schema_changes.py
    times_grown INTEGER NOT NULL DEFAULT 0,
    times_declared INTEGER NOT NULL DEFAULT 0,
    extents TEXT,                     -- how far the numbers of all staged batches reach, as JSON; NULL = no type widens
    settled TEXT,                     -- paths that held nothing when first published and became text, as JSON
    removed_at INTEGER,               -- hidden from operators until something arrives; the books stay
    created_at INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS volumes (
    dataset_id INTEGER NOT NULL REFERENCES datasets,
    state TEXT NOT NULL,              -- a batch state, or 'accepted' for all that was ever acknowledged
    batches INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, state)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS processes (
    process_id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    heartbeat_at INTEGER              -- while it holds claims; NULL = it never held one
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS segments (
    segment_id TEXT PRIMARY KEY,
    dataset_id INTEGER NOT NULL REFERENCES datasets,
    owner TEXT NOT NULL,              -- process that builds or has built it
    state TEXT NOT NULL,              -- building, sealed, quarantined
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS segments_by_dataset ON segments (dataset_id, state);
CREATE INDEX IF NOT EXISTS segments_by_owner ON segments (owner, state);

CREATE TABLE IF NOT EXISTS journals (
    journal_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,              -- the only process that appends to it
    state TEXT NOT NULL,              -- open, closed
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS batches (
    batch_id TEXT PRIMARY KEY,
    dataset_id INTEGER NOT NULL REFERENCES datasets,
    segment_id TEXT NOT NULL,         -- of the segment or journal that holds its rows
    sequence INTEGER NOT NULL,        -- its position among the dataset's batches there
    record_offset INTEGER,            -- in a journal: where its record begins, in bytes; NULL = it lies in a segment
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    staged_at INTEGER NOT NULL,
    idempotency_key TEXT,
    state TEXT NOT NULL,
    epoch INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    published_at INTEGER,
    incident_id INTEGER REFERENCES incidents  -- why it is or was quarantined
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS batches_by_key ON batches (dataset_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS batches_by_state ON batches (dataset_id, state, staged_at);
CREATE INDEX IF NOT EXISTS batches_by_segment ON batches (segment_id, state);
CREATE INDEX IF NOT EXISTS batches_in_journals ON batches (dataset_id, segment_id, record_offset)
    WHERE record_offset IS NOT NULL;
CREATE INDEX IF NOT EXISTS batches_by_epoch ON batches (dataset_id, epoch) WHERE epoch IS NOT NULL;
CREATE INDEX IF NOT EXISTS batches_by_incident ON batches (incident_id) WHERE incident_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS incidents (  -- one per batch or segment that was set aside
    incident_id INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_id INTEGER NOT NULL REFERENCES datasets,
    kind TEXT NOT NULL,               -- batch (its segment is sound), segment (the file was moved to quarantine)
    segment_id TEXT NOT NULL,
    code TEXT NOT NULL,               -- of the error
    error TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    resolution TEXT,                  -- requeued, discarded; NULL = open
    resolved_at INTEGER
);
CREATE INDEX IF NOT EXISTS incidents_by_dataset ON incidents (dataset_id, resolution);

CREATE TABLE IF NOT EXISTS flushes (
    dataset_id INTEGER NOT NULL REFERENCES datasets,
    epoch INTEGER NOT NULL,
    state TEXT NOT NULL,
    trigger TEXT NOT NULL,
    run_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    batches INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    oldest_staged_at INTEGER NOT NULL,
    began_at INTEGER,                 -- the claim phase; each phase may run in another process, with pauses between
    claimed_at INTEGER NOT NULL,
    export_began_at INTEGER,
    exported_at INTEGER,
    publish_began_at INTEGER,
    published_at INTEGER,
    finalize_began_at INTEGER,
    failed_at INTEGER,                -- end of the phase that failed; NULL when its process died in it
    finished_at INTEGER,
    version INTEGER,
    error TEXT,
    PRIMARY KEY (dataset_id, epoch)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS flushes_by_state ON flushes (state, dataset_id);

CREATE TABLE IF NOT EXISTS flush_stretches (  -- see flush_stretches.py
    dataset_id INTEGER NOT NULL REFERENCES datasets,
    first_epoch INTEGER NOT NULL,
    last_epoch INTEGER NOT NULL,
    batches INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,  -- of the published flushes
    first_partition TEXT,             -- of their files, as the Delta log spells it; NULL = there was no file
    last_partition TEXT,
    PRIMARY KEY (dataset_id, first_epoch)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS files (
    file_id INTEGER PRIMARY KEY,
    dataset_id INTEGER NOT NULL REFERENCES datasets,
    epoch INTEGER NOT NULL,
    path TEXT NOT NULL,               -- relative to the table's root
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    partition_column TEXT,
    partition_value TEXT,
    stats TEXT NOT NULL,              -- the Delta add action's statistics
    min_time INTEGER,
    max_time INTEGER
);
CREATE INDEX IF NOT EXISTS files_by_epoch ON files (dataset_id, epoch);
CREATE INDEX IF NOT EXISTS files_by_partition ON files (dataset_id, partition_value);

CREATE TABLE IF NOT EXISTS batch_files (
    batch_id TEXT NOT NULL,
    file_id INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    PRIMARY KEY (batch_id, file_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS batch_files_by_file ON batch_files (file_id);

CREATE TABLE IF NOT EXISTS published_runs (  -- see published.py
    run_id INTEGER PRIMARY KEY,
    dataset_id INTEGER NOT NULL REFERENCES datasets,
    stream_id TEXT NOT NULL,          -- with a number from first to last it makes the id of a batch
    first_number INTEGER NOT NULL,
    last_number INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    first_staged_at INTEGER NOT NULL,
    last_staged_at INTEGER NOT NULL,
    epoch INTEGER,                    -- NULL = found in a file after the ledger was lost
    published_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS published_runs_by_stream ON published_runs (stream_id, first_number);
CREATE INDEX IF NOT EXISTS published_runs_by_time ON published_runs (dataset_id, published_at);

CREATE TABLE IF NOT EXISTS published_keys (  -- of a batch in a run that had an idempotency key
    run_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    dataset_id INTEGER NOT NULL,
    digest BLOB NOT NULL,             -- of the key
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    staged_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS published_keys_by_digest ON published_keys (dataset_id, digest);

CREATE TABLE IF NOT EXISTS run_files (
    run_id INTEGER NOT NULL,
    file_id INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    PRIMARY KEY (run_id, file_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS run_files_by_file ON run_files (file_id);

CREATE TABLE IF NOT EXISTS counters (
    dataset_id INTEGER NOT NULL REFERENCES datasets,
    series TEXT NOT NULL,
    labels TEXT NOT NULL,             -- label=value pairs joined by commas, sorted
    value REAL NOT NULL,
    PRIMARY KEY (dataset_id, series, labels)
) WITHOUT ROWID;
"""


def prepare(database: Database, shard: str, *, may_be_new: bool = True) -> None:
    """Create what is missing; raise `LedgerMismatch` when the file belongs to another shard or a newer format.

    may_be_new: False = a file without tables is what is left of a ledger: `LedgerLost`.
    """
    if not may_be_new and database.row("SELECT 1 FROM sqlite_master WHERE name = 'batches'") is None:
        raise LedgerLost(
            f"the ledger {database.path} is empty, although segments are staged",
            hint="run `timestore recover`: it rebuilds the ledger from segments and Delta log",
        )
    if database.row("SELECT 1 FROM sqlite_master WHERE name = 'counters'") is None:
        with database.transaction() as tx:
            _create(tx, shard)
    meta = {row["key"]: row["value"] for row in database.rows("SELECT key, value FROM meta")}
    if meta.get("format_version") != str(FORMAT_VERSION):
        raise LedgerMismatch(
            f"{database.path} has format version {meta.get('format_version')}, this release reads {FORMAT_VERSION}",
            hint="use the release that wrote it, or drain it there first",
        )
    if meta["shard"] != shard:
        raise LedgerMismatch(
            f"{database.path} belongs to shard {meta['shard']!r}, not to {shard!r}",
            hint="set TIMESTORE_SHARD to its owner, or use another TIMESTORE_STAGING_DIRECTORY",
        )


def _create(tx: sqlite3.Connection, shard: str) -> None:
    for statement in _TABLES.split(";\n"):
        tx.execute(statement)
    known = {"format_version": str(FORMAT_VERSION), "shard": shard, "ledger_id": uuid.uuid4().hex}
    tx.executemany("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", known.items())
