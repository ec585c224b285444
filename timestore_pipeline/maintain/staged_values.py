"""Staged values that do not fit a column's new type: batches that no flush could publish after the change.

Every batch acknowledged so far is checked, in segments and in journals. Batches that arrive later are cast or
quarantined by their flush, as with a type adopted from another shard. Read-only otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa

from timestore_pipeline.errors import UnreadableSegment
from timestore_pipeline.flush.attach import attach_sources
from timestore_pipeline.flush.retyped_columns import refuse_unfit, retyped_columns
from timestore_pipeline.flush.staged_sources import Place, RowsUnfit
from timestore_pipeline.model.recast import Leeway
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.ledger.datasets import DatasetRecord
from timestore_pipeline.staging.ledger.journals import RecordPlace

_LOOKS = 2  # a roll-up may move a batch while its journal is read, and moves it once


def unfit_batches(area: StagingArea, dataset: str, column: str, after: pa.DataType, leeway: Leeway) -> dict[str, str]:
    """Batch id -> message about its first value that does not fit; empty for a dataset that is not in the ledger."""
    record = area.ledger.datasets.find(dataset)
    if record is None or record.schema is None:
        return {}
    becomes = pa.schema([pa.field(field.name, after) if field.name == column else field for field in record.schema])
    wanted = replace(record, schema=becomes)
    found: dict[str, str] = {}
    checked: set[str] = set()
    for _ in range(_LOOKS):
        staged = area.ledger.staged.at_once([dataset])[dataset]
        for held_in, held in staged.by_file().items():
            ids = {sequence: batch_id for sequence, batch_id in held.items() if batch_id not in checked}
            if not ids:
                continue
            places = [place for place in staged.records if place.journal_id == held_in]
            with suppress(UnreadableSegment):  # rolled up or published meanwhile, or the next flush reports it
                unfit = _unfit(area, wanted, [(held_in, sequence) for sequence in ids], places, column, leeway)
                found |= {ids[sequence]: problem for (_, sequence), problem in unfit.items()}
                checked.update(ids.values())
    return found


def _unfit(
    area: StagingArea,
    wanted: DatasetRecord,
    batches: Sequence[Place],
    places: Sequence[RecordPlace],
    column: str,
    leeway: Leeway,
) -> Mapping[Place, str]:
    with open_engine() as connection:
        try:
            sources = attach_sources(connection, area, wanted.name, batches, places)
            found = retyped_columns(connection, wanted, sources, lambda _: leeway)
            retyped = {name: [one for one in columns if one.name == column] for name, columns in found.items()}
            refuse_unfit(connection, wanted.name, sources, retyped)
        except RowsUnfit as unfit:
            return unfit.culprits
    return {}
