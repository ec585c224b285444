"""The audit of one shard: ledger against itself, against the segments, and against the Delta log, in both directions.

Read-only and safe beside producers and flushes. `repair` writes to the ledger and nothing else: files are evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from timestore_pipeline.audit.published import PublishedAudit, content_findings, provenance_findings
from timestore_pipeline.audit.report import AuditReport, DatasetAudit, Finding, abridged
from timestore_pipeline.audit.staged import audit_staged
from timestore_pipeline.audit.totals import TOTALS_DIFFER, counted_totals, mended, total_findings
from timestore_pipeline.errors import TimestoreError, UnknownDataset
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.batch import BatchState, Volume
from timestore_pipeline.rebuild.reconcile import reconcile
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.audit import LedgerFacts
from timestore_pipeline.staging.ledger.volumes import ACCEPTED


def verify(
    area: StagingArea, lake: Lake, datasets: Sequence[str] = (), *, repair: bool = False, deep: bool = False
) -> AuditReport:
    """Audit these datasets, or all that ledger, staging directory or lake know.

    deep: also read every row of segments and Parquet files. repair: first enter what the ledger lacks, as `recover`
    does, then mend totals. Raises `UnknownDataset`, and `UnreadableLedger` when SQLite finds the ledger damaged.
    """
    area.ledger.audit.check_file()
    if repair:
        reconcile(area, lake)
    known = known_datasets(area, lake)
    for dataset in datasets:
        if dataset not in known:
            raise UnknownDataset(f"there is no dataset {dataset!r}", dataset=dataset, hint=f"known: {', '.join(known)}")
    audits = [audit_dataset(area, lake, dataset, deep=deep) for dataset in datasets or known]
    if repair:
        audits = [_repaired(area, lake, audit, deep) for audit in audits]
    return AuditReport(area.shard, audits)


def known_datasets(area: StagingArea, lake: Lake) -> list[str]:
    """Also those that only a segment file or a commit tells of: a lost ledger must not look like an empty one."""
    names = {record.name for record in area.ledger.datasets.all()}
    names |= {name for name in area.directory.datasets() if any(area.directory.segment_folder(name).iterdir())}
    return sorted(names | {name for name in lake.datasets() if name not in names and _published_by(area, lake, name)})


def _published_by(area: StagingArea, lake: Lake, dataset: str) -> bool:
    return any(metadata.get("shard") == area.shard for _, metadata in lake.table(dataset).commits())


def audit_dataset(area: StagingArea, lake: Lake, dataset: str, *, deep: bool = False) -> DatasetAudit:
    """Audit one dataset, also one that the ledger does not know; a lake that does not answer is a problem it tells."""
    try:
        facts = area.ledger.audit.facts(dataset)
    except UnknownDataset:
        facts = LedgerFacts.empty()
    staged = audit_staged(area, dataset, facts.segments, deep=deep)
    problems = [*total_findings(facts.totals), *staged.problems, *provenance_findings(facts.provenance_gaps)]
    warnings: list[Finding] = []
    try:
        history = lake.table(dataset).history()
    except TimestoreError as error:
        problems.append(Finding.of(error))
    else:
        published = PublishedAudit(area.shard, facts.flushes, area.ledger.audit.epochs(dataset), history)
        problems += published.problems()
        if history is not None:
            problems += content_findings(lake.table(dataset), history, deep=deep)
        warnings += published.warnings()
    return replace(
        _books(dataset, facts),
        problems=abridged(problems),
        warnings=abridged(warnings),
        being_written=staged.being_written,
        waiting_for_takeover=staged.waiting_for_takeover,
    )


def _books(dataset: str, facts: LedgerFacts) -> DatasetAudit:
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


def _repaired(area: StagingArea, lake: Lake, audit: DatasetAudit, deep: bool) -> DatasetAudit:
    """Only where the running totals are all that is wrong; otherwise mending them would hide the cause."""
    if {problem.code for problem in audit.problems} != {TOTALS_DIFFER}:
        return audit
    if not area.ledger.audit.mend_totals(audit.dataset, mended):
        return audit
    return replace(audit_dataset(area, lake, audit.dataset, deep=deep), repaired=True)
