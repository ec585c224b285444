"""Failures that only a person or another configuration can mend: the dataset is blocked, with the remedy to read.

Everything else is tried again after a pause (decision 0007), or searched for the batches that cause it (0010).
"""

from __future__ import annotations

from timestore_pipeline.errors import (
    InvalidInput,
    LedgerIncomplete,
    SchemaConflict,
    ShardConflict,
    TimestoreError,
    UnknownDataset,
    UnreadableTable,
    UnsupportedTable,
)
from timestore_pipeline.model.flush import FlushBlock
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.system import clock

_CONFIGURATION = (InvalidInput, SchemaConflict, ShardConflict, UnsupportedTable, LedgerIncomplete)

FAILURES_BEFORE_BELIEF = 3  # flushes in a row that find a table unreadable; one may have met another process's write


def needs_a_person(error: BaseException) -> bool:
    """Whether waiting will not cure it, as far as the error shows."""
    return isinstance(error, (*_CONFIGURATION, UnreadableTable)) and not isinstance(error, UnknownDataset)


def block_if_configured_wrong(area: StagingArea, dataset: str, error: BaseException, configuration: str) -> None:
    """configuration: a digest of what was in force; raises what the ledger raises."""
    if isinstance(error, UnreadableTable) and area.backlog(dataset).failures < FAILURES_BEFORE_BELIEF:
        return
    if isinstance(error, TimestoreError) and needs_a_person(error):
        area.ledger.flush_failures.block(
            dataset, FlushBlock(error.code, str(error), error.hint, clock.now(), configuration)
        )
