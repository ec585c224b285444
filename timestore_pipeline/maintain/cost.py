"""What compactions cost, in the ledger's counters.

A process that dies between a compaction's commit and its count leaves that one uncounted.
"""

from __future__ import annotations

import logging

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.maintain.grouping import FileGroup
from timestore_pipeline.staging.area import StagingArea

_log = logging.getLogger(__name__)


def count_compaction(area: StagingArea, dataset: str, group: FileGroup, written: int | None, seconds: float) -> None:
    """written: bytes of the new file; None = the group is as it was, and only the time was spent. Never raises."""
    amounts = {"compaction_seconds_total": seconds}
    if written is not None:
        amounts |= {
            "compactions_total": 1,
            "compacted_files_total": len(group.files),
            "compacted_rows_total": group.rows,
            "compacted_bytes_total": group.bytes,
            "compaction_written_bytes_total": written,
        }
    try:
        area.ledger.counters.add_to_table(dataset, amounts)
    except TimestoreError as error:
        _log.warning("dataset %s: no series counts this compaction: %s", dataset, error)
