"""Checks before each claim that no other ledger publishes under this shard's name, so that two never take turns.

The newest epoch in the Delta log must be one that this ledger has assigned, and settled the same way. Otherwise either
another staging directory publishes under the same name, or this one was recreated or restored from an older copy; only
a person can tell which. If the lake does not answer, the export will report it.
"""

from __future__ import annotations

from typing import Any

from timestore_pipeline.errors import Fenced, ShardConflict, TimestoreError
from timestore_pipeline.lake.history import NewestEpoch
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.commit import app_id, claimed_at_micros
from timestore_pipeline.model.flush import FlushRef, FlushState
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.system import clock

_OLDER_COPY = (
    "this ledger is an older copy, or a copy of it publishes elsewhere: stop the other, then run"
    " `timestore recover`, which enters the flushes published since"
)
_ANOTHER = (
    "was the ledger restored from a backup? Then run `timestore recover --restored`. Was the staging directory cleared,"
    " or its disk lost? Then run `timestore recover --replace-shard`. Does the other"
    " directory still exist? Then give this one a TIMESTORE_SHARD of its own"
)


def check_ownership(area: StagingArea, lake: Lake, dataset: str) -> None:
    """Raise `ShardConflict` when the table has an epoch of this shard that the ledger does not have."""
    if not area.backlog(dataset).queued.batches:
        return
    table = lake.table(dataset)
    try:
        newest = table.newest(app_id(area.shard, dataset))
        if _is_ours(area, dataset, newest):
            return
        metadata = _commit(table, app_id(area.shard, dataset), newest.epoch)
    except TimestoreError:  # the export will raise it, and release the batches
        return
    raise _conflict(area, dataset, newest, metadata)


def _is_ours(area: StagingArea, dataset: str, newest: NewestEpoch) -> bool:
    if newest.epoch > area.ledger.datasets.get(dataset).last_epoch:
        return False
    if newest.epoch == 0 or not newest.published:
        return True
    try:
        state = area.ledger.flushes.get(FlushRef(dataset, newest.epoch)).state
        return state in (FlushState.EXPORTED, FlushState.PUBLISHED)  # a claim must be exported before it is published
    except Fenced:  # taken over from another ledger, whose commit log cleanup had removed
        return True


def _commit(table: LakeTable, identifier: str, epoch: int) -> dict[str, Any]:
    """Metadata of the epoch's commit; empty when log cleanup has removed it."""
    found = [data for _, data in table.commits() if (data.get("app_id"), data.get("epoch")) == (identifier, epoch)]
    return found[-1] if found else {}


def _conflict(area: StagingArea, dataset: str, newest: NewestEpoch, metadata: dict[str, Any]) -> ShardConflict:
    ledger_id = str(metadata.get("ledger") or "unknown")
    micros = claimed_at_micros(str(metadata.get("claim") or ""))
    when = f" at {clock.from_micros(micros):%Y-%m-%d %H:%M:%S} UTC" if micros else ""
    last = area.ledger.datasets.get(dataset).last_epoch
    return ShardConflict(
        f"dataset {dataset!r}: epoch {newest.epoch} of shard {area.shard!r} was taken by ledger {ledger_id}"
        f"{when}; this one, {area.ledger.identity}, has assigned epochs up to {last} and did not publish it",
        dataset=dataset,
        ledger_id=ledger_id,
        hint=_OLDER_COPY if ledger_id == area.ledger.identity else _ANOTHER,
    )
