"""Staged values that do not fit a column's new type: batches that no flush could publish after the change.

Journaled batches are rolled up as for a flush, so that every batch acknowledged so far is checked. Batches that arrive
later are cast or quarantined by their flush, as with a type adopted from another shard. Read-only otherwise.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pyarrow as pa

from timestore_pipeline.errors import UnreadableSegment
from timestore_pipeline.flush.retyped_columns import RowsUnfit, refuse_unfit, retyped_columns
from timestore_pipeline.model.recast import Leeway
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.ledger.datasets import DatasetRecord
from timestore_pipeline.staging.ledger.staged import StagedSegment
from timestore_pipeline.staging.roll_up import roll_up
from timestore_pipeline.staging.segments import attach_sealed


def unfit_batches(area: StagingArea, dataset: str, column: str, after: pa.DataType, leeway: Leeway) -> dict[str, str]:
    """Batch id -> message about its first value that does not fit; empty for a dataset that is not in the ledger."""
    record = area.ledger.datasets.find(dataset)
    if record is None or record.schema is None:
        return {}
    rolled = roll_up(area, dataset, sets_aside=False)
    if rolled.full is not None:
        raise rolled.full
    becomes = pa.schema([pa.field(field.name, after) if field.name == column else field for field in record.schema])
    wanted = replace(record, schema=becomes)
    found: dict[str, str] = {}
    for segment in area.ledger.staged.at_once([dataset])[dataset].segments:
        with suppress(FileNotFoundError, UnreadableSegment):  # published meanwhile, or the next flush reports it
            found |= _unfit_in(area, wanted, segment, column, leeway)
    return found


def _unfit_in(
    area: StagingArea, wanted: DatasetRecord, segment: StagedSegment, column: str, leeway: Leeway
) -> dict[str, str]:
    with open_engine() as connection:
        path = area.directory.segment(wanted.name, segment.segment_id)
        attach_sealed(connection, path, segment.segment_id, wanted.name)
        found = retyped_columns(connection, wanted, [segment.segment_id], lambda _: leeway)
        retyped = {name: [one for one in columns if one.name == column] for name, columns in found.items()}
        try:
            refuse_unfit(connection, wanted.name, {segment.segment_id: list(segment.batches)}, retyped)
        except RowsUnfit as unfit:
            return {segment.batches[sequence].batch_id: problem for (_, sequence), problem in unfit.culprits.items()}
    return {}
