"""The datasets of a ledger for display: read without waiting and without changing anything.

Loading Dagster's definitions must never hang on a busy ledger, make one that is missing, or fail because one dataset's
row is damaged. So: a read-only connection of its own, a short wait, and what cannot be read is left out.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord, record_of
from timestore_pipeline.staging.ledger.inspection import look_at

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A dataset, and the range of its partitions as the Delta log spells them; None = nothing was exported yet."""

    record: DatasetRecord
    first_partition: str | None
    last_partition: str | None


_ENTRIES = """
SELECT *,
    (SELECT min(value) FROM (
        SELECT min(partition_value) AS value FROM files WHERE files.dataset_id = datasets.dataset_id
        UNION ALL SELECT first_partition FROM flush_stretches s WHERE s.dataset_id = datasets.dataset_id
    )) AS first_partition,
    (SELECT max(value) FROM (
        SELECT max(partition_value) AS value FROM files WHERE files.dataset_id = datasets.dataset_id
        UNION ALL SELECT last_partition FROM flush_stretches s WHERE s.dataset_id = datasets.dataset_id
    )) AS last_partition
FROM datasets WHERE removed_at IS NULL ORDER BY name
"""


def read_catalog(ledger: Path) -> list[CatalogEntry]:
    """Every readable dataset in use, in name order; none when there is no ledger.

    Raise `LedgerBusy`, `Corrupted` or another `TimestoreError` when the ledger itself cannot be read.
    """
    if not ledger.exists():
        return []
    return look_at(ledger, lambda connection: list(_entries(connection)))


def _entries(connection: sqlite3.Connection) -> Iterator[CatalogEntry]:
    rows = connection.execute(_ENTRIES)
    for row in rows:
        try:
            yield CatalogEntry(record_of(row), row["first_partition"], row["last_partition"])
        except (TimestoreError, ValueError, IndexError) as error:
            _log.warning("dataset %s is left out: %s", row["name"], error)
