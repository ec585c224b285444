"""Failures that only a person or another configuration can mend: the dataset is blocked, with the remedy to read.

Everything else is tried again after a pause (decision 0007), or searched for the batches that cause it (0010).
"""

from __future__ import annotations

from timestore_pipeline import clock
from timestore_pipeline.errors import InvalidInput, SchemaConflict, ShardConflict, UnknownDataset
from timestore_pipeline.model.backlog import Block
from timestore_pipeline.staging.area import StagingArea

_CONFIGURATION = (InvalidInput, SchemaConflict, ShardConflict)


def block_if_configured_wrong(area: StagingArea, dataset: str, error: BaseException, configuration: str) -> None:
    """configuration: a digest of what was in force; raises what the ledger raises."""
    if isinstance(error, _CONFIGURATION) and not isinstance(error, UnknownDataset):
        area.ledger.blocks.put(dataset, Block(error.code, str(error), error.hint, clock.now(), configuration))
