"""Who publishes under this shard's name: asked before each claim, so that two of one name never take turns.

The newest epoch in the Delta log must be one this ledger has counted, and settled the same way. If it is not, either
another staging directory publishes under our name, or this one was made anew or restored from an older copy; all
three are for a person to tell apart. A lake that does not answer is left to the export.
"""

from __future__ import annotations

from typing import Any

from timestore_pipeline import clock
from timestore_pipeline.errors import Fenced, ShardConflict, TimestoreError
from timestore_pipeline.lake.published import NewestEpoch
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.commit import app_id, claimed_at_micros
from timestore_pipeline.model.flush import FlushRef, FlushState
from timestore_pipeline.staging.area import StagingArea

_OLDER_COPY = (
    "this ledger is an older copy, or one with its identity publishes elsewhere: stop the other, then run"
    " `timestore recover`, which enters what was published since"
)
_ANOTHER = (
    "was the ledger restored from a backup? Then run `timestore recover --restored`. Was the staging directory cleared,"
    " or its disk lost? Then run `timestore recover --replace-shard`. Does the other"
    " directory still exist? Then give this one a TIMESTORE_SHARD of its own"
)


def check_ownership(area: StagingArea, lake: Lake, dataset: str) -> None:
    """Raise `ShardConflict` when the table has an epoch of ours that this ledger does not know."""
    if not area.backlog(dataset).queued.batches:
        return
    table = lake.table(dataset)
    try:
        newest = table.newest(app_id(area.shard, dataset))
        if _is_ours(area, dataset, newest):
            return
        told = _commit(table, app_id(area.shard, dataset), newest.epoch)
    except TimestoreError:  # the export will say so, and return the batches
        return
    raise _conflict(area, dataset, newest, told)


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
    """What the epoch's commit says about itself; empty when log cleanup has removed it."""
    ours = [told for _, told in table.commits() if (told.get("app_id"), told.get("epoch")) == (identifier, epoch)]
    return ours[-1] if ours else {}


def _conflict(area: StagingArea, dataset: str, newest: NewestEpoch, told: dict[str, Any]) -> ShardConflict:
    ledger_id = str(told.get("ledger") or "unknown")
    last = area.ledger.datasets.get(dataset).last_epoch
    return ShardConflict(
        f"dataset {dataset!r}: epoch {newest.epoch} of shard {area.shard!r} was taken by ledger {ledger_id}"
        f"{_when(told)}; this one, {area.ledger.identity}, has counted to {last} and did not publish it",
        dataset=dataset,
        ledger_id=ledger_id,
        hint=_OLDER_COPY if ledger_id == area.ledger.identity else _ANOTHER,
    )


def _when(told: dict[str, Any]) -> str:
    micros = claimed_at_micros(str(told.get("claim") or ""))
    return f" at {clock.from_micros(micros):%Y-%m-%d %H:%M:%S} UTC" if micros else ""
