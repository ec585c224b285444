"""The audit of one shard: ledger against itself, against the segments, and against the Delta log, in both directions.

Read-only without `repair`, and safe beside producers and flushes. Repairs destroy no evidence, and each may be
repeated: flushes, segments and journals that the ledger lacks are entered; moves into and out of quarantine are
finished; running totals are recomputed where nothing else contradicts; Parquet files that are proven unpublished are
deleted. Everything else is left unchanged, with the reason in the finding's hint.

The ledger keeps what was found, for the series that alerts read. A verification that is killed leaves what the last one
found.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial

from pyarrow import fs

from timestore_pipeline.errors import TimestoreError, UnknownDataset
from timestore_pipeline.lake.history import TableHistory
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.batch import BatchState, Volume
from timestore_pipeline.model.dataset import chosen_datasets
from timestore_pipeline.model.lake import app_id
from timestore_pipeline.recovery.findings import AuditReport, DatasetAudit, Finding, abridged
from timestore_pipeline.recovery.published_audit import PublishedAudit, content_findings, provenance_findings
from timestore_pipeline.recovery.reconcile import reconcile
from timestore_pipeline.recovery.reconciliation import Reconciliation
from timestore_pipeline.recovery.staged_audit import audit_staged, quarantine_problems, unfinished_moves
from timestore_pipeline.recovery.staged_files import datasets_in, unknown_journals
from timestore_pipeline.recovery.totals import TOTALS_DIFFER, counted_totals, mended, total_findings
from timestore_pipeline.recovery.traced import TracedAudit
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.directory import file_sizes
from timestore_pipeline.staging.engine import EnginePool
from timestore_pipeline.staging.ledger.audit import LedgerFacts
from timestore_pipeline.staging.ledger.volumes import ACCEPTED
from timestore_pipeline.staging.quarantine import put_in_place

_log = logging.getLogger(__name__)

_UNMANAGED = "unmanaged_file"  # the repair reads the table again only if there is such a file
Mended = dict[str, list[str]]  # dataset -> repairs made

_THREADS = 4  # tables are read at the same time: most of the time is waiting, and work outside Python


def verify(
    area: StagingArea, lake: Lake, datasets: Sequence[str] = (), *, repair: bool = False, deep: bool = False
) -> AuditReport:
    """Audit these datasets, or all datasets of ledger, staging directory and lake.

    deep: also read every row of segments and Parquet files. repair: first reconcile the ledger, as `recover` does, then
    make the other repairs. Raises `UnknownDataset`, and `UnreadableLedger` when SQLite finds the ledger damaged.
    """
    area.ledger.audit.check_file()
    done: Mended = {}
    if repair:
        done = _entries(area, reconcile(area, lake))
        _finish_moves(area, done)
    chosen = chosen_datasets(datasets, datasets_to_audit(area, lake))
    with closing(EnginePool()) as engines, ThreadPoolExecutor(_THREADS) as pool:
        one = partial(_audit, area, lake, engines=engines, deep=deep)
        audits = list(pool.map(one, chosen))
        if repair:
            audits = [_repaired(area, lake, audit, done.get(audit.dataset, []), one) for audit in audits]
    _record(area, audits, deep=deep)
    return AuditReport(area.shard, audits)


def datasets_to_audit(area: StagingArea, lake: Lake) -> list[str]:
    """Also datasets that only a segment file or a commit names: a lost ledger must not look like an empty one."""
    names = set(area.ledger.datasets.names())
    names |= {name for name in area.directory.datasets() if _has_files(area, name)}
    names |= {name for path in unknown_journals(area) for name in datasets_in(path)}
    return sorted(names | {name for name in lake.datasets() if name not in names and _published_by(area, lake, name)})


def _has_files(area: StagingArea, dataset: str) -> bool:
    folders = area.directory.segment_folder(dataset), area.directory.quarantine_folder(dataset)
    return any(any(file_sizes(folder)) for folder in folders)


def _published_by(area: StagingArea, lake: Lake, dataset: str) -> bool:
    return any(metadata.get("shard") == area.shard for _, metadata in lake.table(dataset).commits())


def audit_dataset(area: StagingArea, lake: Lake, dataset: str, *, deep: bool = False) -> DatasetAudit:
    """Audit one dataset, in the ledger or not; an unreachable lake is one of the problems reported."""
    with closing(EnginePool()) as engines:
        audit = _audit(area, lake, dataset, engines=engines, deep=deep)
    _record(area, [audit], deep=deep)
    return audit


def _record(area: StagingArea, audits: Sequence[DatasetAudit], *, deep: bool) -> None:
    """Never raises: the findings are worth more than their series."""
    try:
        area.ledger.verifications.record({audit.dataset: audit.certain_problems for audit in audits}, deep=deep)
    except TimestoreError as error:
        _log.warning("no series shows this verification: %s", error)


def direct_files(area: StagingArea, lake: Lake, dataset: str) -> list[fs.FileInfo]:
    """Parquet files in a dataset's folder that other tools wrote directly; by path relative to the folder."""
    direct = set(_published(area, lake, dataset, _facts(area, dataset)).direct())
    return [file for file in lake.table(dataset).stored_files() if file.path in direct]


def _facts(area: StagingArea, dataset: str) -> LedgerFacts:
    try:
        return area.ledger.audit.facts(dataset)
    except UnknownDataset:
        return LedgerFacts.empty()


def _audit(area: StagingArea, lake: Lake, dataset: str, *, engines: EnginePool, deep: bool) -> DatasetAudit:
    facts = _facts(area, dataset)
    staged = audit_staged(area, dataset, facts, engines, deep=deep)
    problems = [*total_findings(facts.totals), *staged, *provenance_findings(facts.provenance_gaps)]
    problems += quarantine_problems(area, dataset)
    warnings = list(unfinished_moves(area, dataset))
    try:
        published = _published(area, lake, dataset, facts)
    except TimestoreError as error:
        problems.append(Finding.of(error))
    else:
        problems += published.problems()
        if published.history is not None:
            problems += content_findings(lake.table(dataset), published.history, deep=deep)
            problems += _traced(lake.table(dataset), published, published.history, deep=deep)
        warnings += published.warnings()
    return replace(_totals(dataset, facts), problems=abridged(problems), warnings=abridged(warnings))


def _published(area: StagingArea, lake: Lake, dataset: str, facts: LedgerFacts) -> PublishedAudit:
    table = lake.table(dataset)
    history = table.history()
    folder = {} if history is not None else {file.path: file.size for file in table.stored_files()}
    epochs = area.ledger.audit.epochs(dataset)
    return PublishedAudit(
        area.shard, facts.stretches, facts.flushes, epochs, history, app_id(area.shard, dataset), folder
    )


def _traced(table: LakeTable, published: PublishedAudit, history: TableHistory, *, deep: bool) -> list[Finding]:
    """In a bucket a footer costs a request, so there only if the commits are incomplete, or in a deep audit."""
    if table.is_remote and history.complete and not deep:
        return []
    try:
        origins = table.origins(history.live.values())
    except TimestoreError as error:
        return [Finding.of(error)]
    audit = TracedAudit(
        published.shard,
        published.stretches,
        published.flushes,
        published.epochs,
        history.live,
        origins,
        complete=history.complete,
    )
    return list(audit.problems())


def _totals(dataset: str, facts: LedgerFacts) -> DatasetAudit:
    accepted = facts.totals.kept.get(ACCEPTED, Volume())
    rows = {state: volume.rows for state, volume in counted_totals(facts.totals).items()}
    return DatasetAudit(
        dataset=dataset,
        accepted_batches=accepted.batches,
        accepted_rows=accepted.rows,
        pending_rows=rows[BatchState.PENDING],
        in_flight_rows=rows[BatchState.IN_FLIGHT],
        published_rows=rows[BatchState.PUBLISHED],
        quarantined_rows=rows[BatchState.QUARANTINED],
        discarded_rows=rows[BatchState.DISCARDED],
    )


def _repaired(
    area: StagingArea,
    lake: Lake,
    audit: DatasetAudit,
    entered: Sequence[str],
    one: Callable[[str], DatasetAudit],
) -> DatasetAudit:
    repairs = _mend_totals(area, audit)
    if any(warning.code == _UNMANAGED for warning in audit.warnings):
        facts = area.ledger.audit.facts(audit.dataset)
        repairs += _delete_leftovers(lake.table(audit.dataset), _published(area, lake, audit.dataset, facts))
    again = one(audit.dataset) if repairs else audit
    return replace(again, mended=[*entered, *repairs])


def _entries(area: StagingArea, reconciliation: Reconciliation) -> Mended:
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


def _finish_moves(area: StagingArea, done: Mended) -> None:
    """Raises `DiskFull` or `AccessDenied` when a file that is needed cannot be moved back."""
    for dataset in area.ledger.datasets.names():
        moves = len(list(unfinished_moves(area, dataset)))
        if not moves:
            continue
        put_in_place(area, dataset)
        if moved := moves - len(list(unfinished_moves(area, dataset))):
            done[dataset].append(f"finished {moved} moves into or out of quarantine")


def _mend_totals(area: StagingArea, audit: DatasetAudit) -> list[str]:
    """Only if the running totals are the only problem; otherwise repairing them would hide the cause."""
    if {problem.code for problem in audit.problems} != {TOTALS_DIFFER}:
        return []
    return ["recomputed the running totals"] if area.ledger.audit.mend_totals(audit.dataset, mended) else []


def _delete_leftovers(table: LakeTable, published: PublishedAudit) -> list[str]:
    """Raises `Conflict` when another process has published one meanwhile."""
    leftovers = published.leftovers()
    table.discard_leftovers(leftovers)
    return [f"deleted {path}, which was never published" for path in leftovers]
