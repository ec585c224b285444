"""One pass over segment files, journals and Delta logs that enters missing flushes and batches into the ledger.

For a ledger that was restored from a backup, rebuilt, or replaces another one: flushes in the log become published,
unlisted segment files and journals are entered, files in quarantine without an incident get one. Safe beside running
producers and flushes, and safe to repeat: a crash leaves a ledger with a part of the entries, each of them right.
"""

from __future__ import annotations

import pyarrow as pa

from timestore_pipeline.errors import InvalidDatasetName, TimestoreError
from timestore_pipeline.lake.history import PublishedCommit
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.canonical import canonical_schema
from timestore_pipeline.model.dataset import check_dataset_name
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.model.lake import app_id, claimed_at_micros
from timestore_pipeline.recovery.reconciliation import LedgerContext, Reconciliation, Trust
from timestore_pipeline.recovery.staged_files import (
    FoundJournals,
    adopt_quarantined,
    adopt_records,
    adopt_segments,
    find_journals,
    list_journals,
)
from timestore_pipeline.staging.ledger.log_import import PublishedFlush


def reconcile(
    area: LedgerContext, lake: Lake, *, replace_shard: bool = False, trust: Trust = Trust.CURRENT
) -> Reconciliation:
    """Reconcile every dataset of ledger, files and lake.

    replace_shard: also enter flushes that other ledgers published under this shard's name; this ledger replaces them.
    trust: CURRENT turns into OLDER as soon as an entry is found missing that a current ledger would have: then every
    segment of every dataset is read, listed or not. OLDER and NOTHING require that no other process uses the directory.
    """
    found = _pass(area, lake, replace_shard, trust)
    if trust is Trust.CURRENT and found.has_changes:
        found += _pass(area, lake, replace_shard, Trust.OLDER)
    return found


def _pass(area: LedgerContext, lake: Lake, replace_shard: bool, trust: Trust) -> Reconciliation:
    found = Reconciliation()
    journals = find_journals(area, found, trust)
    left: set[str] = set()
    for dataset in sorted({*datasets_to_reconcile(area, lake, found), *journals.records}):
        errors = len(found.errors)
        reconcile_dataset(area, lake, dataset, journals, found, replace_shard=replace_shard, trust=trust)
        left |= {dataset} if len(found.errors) > errors else set()
    list_journals(area, journals, left)
    return found


def datasets_to_reconcile(area: LedgerContext, lake: Lake, found: Reconciliation) -> list[str]:
    """Valid names only: other entries of the lake's folder are not datasets."""
    names = set(area.ledger.datasets.names()) | set(area.directory.datasets())
    try:
        names |= set(lake.datasets())
    except TimestoreError as error:
        found.errors.append(error)
    return sorted(name for name in names if _is_name(name))


def reconcile_dataset(
    area: LedgerContext,
    lake: Lake,
    dataset: str,
    journals: FoundJournals,
    found: Reconciliation,
    *,
    replace_shard: bool,
    trust: Trust,
) -> None:
    """If the table cannot be read, the dataset is not changed: only the table shows which batches are published."""
    try:
        commits = _enter_published(area, lake.table(dataset), dataset, found, replace_shard, trust)
        published = {identity for commit in commits for identity in commit.batch_ids()}
        adopt_segments(area, dataset, published, found, trust)
        adopt_quarantined(area, dataset, published, found, trust)
        adopt_records(area, dataset, journals, published, found)
    except TimestoreError as error:
        found.errors.append(error)


def _enter_published(
    area: LedgerContext, table: LakeTable, dataset: str, found: Reconciliation, replace_shard: bool, trust: Trust
) -> list[PublishedCommit]:
    commits = [c for c in table.published(area.shard) if replace_shard or c.ledger_id == area.ledger.identity]
    newest = table.newest(app_id(area.shard, dataset)).epoch
    if commits:
        area.ledger.datasets.ensure(dataset)
        _describe_as_published(area, dataset, table, commits[-1])
    for commit in commits:
        if area.ledger.log_import.enter_published(_flush(dataset, commit), whole=trust is Trust.NOTHING):
            found.published.append(FlushRef(dataset, commit.epoch))
    if newest and replace_shard:
        area.ledger.datasets.ensure(dataset)
        area.ledger.log_import.raise_epoch(dataset, newest)
    return commits


def _describe_as_published(area: LedgerContext, dataset: str, table: LakeTable, newest: PublishedCommit) -> None:
    granularity = newest.metadata.get("granularity")
    if granularity is None or area.ledger.datasets.get(dataset).schema is not None:
        return
    partition = set(table.partition_columns())
    columns = pa.schema([column for column in table.schema() if column.name not in partition])
    area.ledger.log_import.describe(dataset, canonical_schema(columns), newest.metadata.get("time_column"), granularity)


def _flush(dataset: str, commit: PublishedCommit) -> PublishedFlush:
    return PublishedFlush(
        dataset=dataset,
        epoch=commit.epoch,
        claim=commit.claim,
        claimed_at=claimed_at_micros(commit.claim),
        run_id=str(commit.metadata.get("run_id") or ""),
        trigger=str(commit.metadata.get("trigger") or Trigger.MANUAL),
        volume=commit.volume,
        version=commit.version,
        batch_ids=list(commit.batch_ids()),
        files=commit.files,
    )


def _is_name(name: str) -> bool:
    try:
        check_dataset_name(name)
    except InvalidDatasetName:
        return False
    return True
