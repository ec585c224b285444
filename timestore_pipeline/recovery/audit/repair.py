"""`timestore verify --repair`: makes the repairs that destroy no evidence, and reports them.

Four repairs: flushes, segments and journals that the ledger lacks are entered; moves into and out of quarantine are
finished; running totals are recomputed where nothing else contradicts; Parquet files that are proven unpublished are
deleted. Each may be repeated. Everything else is left unchanged, with the reason in the finding's hint.
"""

from __future__ import annotations

from collections import defaultdict

from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.recovery.audit.published import PublishedAudit
from timestore_pipeline.recovery.audit.report import DatasetAudit
from timestore_pipeline.recovery.audit.staged import unfinished_moves
from timestore_pipeline.recovery.audit.totals import TOTALS_DIFFER, mended
from timestore_pipeline.recovery.rebuild.reconciliation import Reconciliation
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.quarantine import put_in_place

Mended = dict[str, list[str]]  # dataset -> repairs made


def describe(area: StagingArea, reconciliation: Reconciliation) -> Mended:
    """The entries that a reconciliation made."""
    done: Mended = defaultdict(list)
    for ref in reconciliation.published:
        done[ref.dataset].append(f"entered flush {ref.epoch} from the Delta log")
    for segment_id in reconciliation.adopted:
        if segment := area.ledger.segments.get(segment_id):
            done[segment.dataset].append(f"adopted segment {segment_id}")
    for incident in reconciliation.incidents:
        dataset = area.ledger.incidents.get(incident).dataset
        done[dataset].append(f"opened incident {incident} for a file in quarantine")
    return done


def finish_moves(area: StagingArea, done: Mended) -> None:
    """Raises `DiskFull` or `AccessDenied` when a file that is needed cannot be moved back."""
    for dataset in area.ledger.datasets.names():
        moves = len(list(unfinished_moves(area, dataset)))
        if not moves:
            continue
        put_in_place(area, dataset)
        if moved := moves - len(list(unfinished_moves(area, dataset))):
            done[dataset].append(f"finished {moved} moves into or out of quarantine")


def mend_totals(area: StagingArea, audit: DatasetAudit) -> list[str]:
    """Only if the running totals are the only problem; otherwise repairing them would hide the cause."""
    if {problem.code for problem in audit.problems} != {TOTALS_DIFFER}:
        return []
    return ["recomputed the running totals"] if area.ledger.audit.mend_totals(audit.dataset, mended) else []


def delete_leftovers(table: LakeTable, published: PublishedAudit) -> list[str]:
    """Raises `Conflict` when another process has published one meanwhile."""
    leftovers = published.leftovers()
    table.discard_leftovers(leftovers)
    return [f"deleted {path}, which was never published" for path in leftovers]
