"""Tidying up after processes that died: everything the next flush would do, now and for all datasets.

What only the Delta log or a segment file knows is entered into the ledger first: to a ledger restored from a backup,
published batches look pending and published segments lost.

Safe beside running producers and flushes, and safe to repeat: a journal may be rolled up at any time, a claim is
settled only when its process is gone, and the Delta log decides what became of it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from timestore_pipeline.errors import Fenced, TimestoreError
from timestore_pipeline.flush.settle import Settlement, settle_interrupted
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.batch import Incident
from timestore_pipeline.model.flush import FlushRef, FlushState
from timestore_pipeline.recovery.reconcile import reconcile
from timestore_pipeline.recovery.reconciliation import Reconciliation
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import LeftOut
from timestore_pipeline.staging.quarantine import put_in_place, remove_given_up
from timestore_pipeline.staging.roll_up import RollUp, remove_idle_journals, roll_up
from timestore_pipeline.staging.scratch import owner_of

_EXPORT_SPILL = re.compile(r"(.+)-(\d+)-[^-]{8}")  # as `tempfile.mkdtemp` completes an export's prefix


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found and done."""

    reconciled: Reconciliation  # entries added from the log, segments and journals
    settled: Sequence[Settlement]
    rolled_up: Sequence[str]  # ids of segments that were made of what lay in journals
    left_out: Sequence[LeftOut]  # journals that cannot be read now
    set_aside: Sequence[Incident]  # damaged records
    drained: int  # segments unlinked because all they held is published
    forgotten: int  # processes
    spool_removed: Sequence[str]  # names in the spool
    errors: Sequence[TimestoreError]  # tables that do not answer, flushes whose outcome is not known yet


def recover(area: StagingArea, lake: Lake, *, replace_shard: bool = False) -> Recovery:
    """Settle interrupted flushes, roll up what lies in journals, remove what is not needed any more.

    replace_shard: become the heir of every other ledger that published under this shard's name. The operator
    states that none of them is alive.
    """
    reconciled = reconcile(area, lake, replace_shard=replace_shard)
    settled, errors = _settle_all(area, lake)
    if replace_shard and settled:  # an epoch that another ledger has taken can be entered once our claim is aborted
        reconciled += reconcile(area, lake, replace_shard=True)
    problems = {
        str(error): error for error in (*reconciled.errors, *errors)
    }  # a lake that does not answer will not answer for the next dataset either
    area.ledger.flush_failures.lift_all_blocks()  # an operator who recovers has changed something
    _finish_moves(area)
    rolled = _roll_up_all(area)
    problems |= {str(one.full): one.full for one in rolled if one.full is not None}
    remove_idle_journals(area, of_the_dead=False)  # a later `recover --restored` still finds their batches
    drained = area.remove_all_drained_segments()
    before = len(area.ledger.processes.all())
    area.identity.forget_dead()
    forgotten = before - len(area.ledger.processes.all())
    removed, errors = _clean_spool(area), list(problems.values())
    return Recovery(
        reconciled=reconciled,
        settled=settled,
        rolled_up=[segment_id for one in rolled for segment_id in one.segments],
        left_out=[left for one in rolled for left in one.left_out.values()],
        set_aside=[area.ledger.incidents.get(incident_id) for one in rolled for incident_id in one.incidents],
        drained=drained,
        forgotten=max(forgotten, 0),
        spool_removed=removed,
        errors=errors,
    )


def _settle_all(area: StagingArea, lake: Lake) -> tuple[list[Settlement], list[TimestoreError]]:
    """A lake that does not answer for one dataset must not keep the others waiting."""
    settled, errors = [], []
    for flush in area.ledger.flushes.in_flight():
        try:
            settlement = settle_interrupted(area, lake, flush.dataset)
        except TimestoreError as error:
            errors.append(error)
        else:
            settled += [settlement] if settlement is not None else []
    return settled, errors


def _finish_moves(area: StagingArea) -> None:
    """Finish moves into quarantine, out of it, and deletions: the process that began them may have died."""
    for dataset in area.ledger.datasets.names():
        put_in_place(area, dataset)
        remove_given_up(area, dataset)


def _roll_up_all(area: StagingArea) -> list[RollUp]:
    """What a living process appends to is left to its own thread, and to the flushes."""
    rows = area.ledger.journals.all()
    ended = {row.journal_id for row in rows if row.closed or not area.identity.is_alive(row.owner)}
    return [roll_up(area, dataset, only=ended) for dataset in area.ledger.journals.datasets_waiting()]


def _clean_spool(area: StagingArea) -> list[str]:
    removed = []
    for path in sorted(area.directory.spool.iterdir()):
        if not _is_in_use(area, path):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def _is_in_use(area: StagingArea, path: Path) -> bool:
    """A folder that does not name its flush may belong to any living process."""
    if (owner := owner_of(path.name)) is not None:
        return area.identity.is_alive(owner)
    match = _EXPORT_SPILL.fullmatch(path.name)
    if match is None:
        return _others_live(area)
    try:
        flush = area.ledger.flushes.get(FlushRef(match[1], int(match[2])))
    except Fenced:
        return _others_live(area)
    return flush.state not in (FlushState.PUBLISHED, FlushState.ABORTED) and not area.is_interrupted(flush)


def _others_live(area: StagingArea) -> bool:
    others = (p.process_id for p in area.ledger.processes.all() if p.process_id != area.identity.process_id)
    return any(area.identity.is_alive(process_id) for process_id in others)
