"""One pass over segment files and Delta logs that enters into the ledger what it does not know.

After a ledger was restored from a backup, put together anew, or made heir of another one: what the log shows as
published is published, segment files and journals that are not listed are entered, files in quarantine that no incident
knows become incidents. Safe beside running producers and flushes, and safe to repeat: a crash leaves a ledger that
knows more than before and is right as far as it goes.
"""

from __future__ import annotations

import pyarrow as pa

from timestore_pipeline.errors import InvalidDatasetName, TimestoreError
from timestore_pipeline.lake.published import PublishedCommit
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.columns import canonical_schema
from timestore_pipeline.model.commit import app_id, claimed_at_micros
from timestore_pipeline.model.dataset import check_dataset_name
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.recovery.rebuild.journal_files import FoundJournals, adopt_records, find_journals, list_journals
from timestore_pipeline.recovery.rebuild.quarantine_files import adopt_quarantined
from timestore_pipeline.recovery.rebuild.reconciliation import LedgerContext, Reconciliation, Trust
from timestore_pipeline.recovery.rebuild.segment_files import adopt_segments
from timestore_pipeline.staging.ledger.log_import import PublishedFlush


def reconcile(
    area: LedgerContext, lake: Lake, *, replace_shard: bool = False, trust: Trust = Trust.CURRENT
) -> Reconciliation:
    """Reconcile every dataset that ledger, files or lake know.

    replace_shard: also enter what other ledgers have published under this shard's name, whose heir this one becomes.
    trust: CURRENT turns into OLDER as soon as anything is found that a current ledger would have known: then no segment
    is believed to hold only what is listed, of no dataset. The other two are for when nobody else uses the directory.
    """
    found = _pass(area, lake, replace_shard, trust)
    if trust is Trust.CURRENT and found.is_news:
        found += _pass(area, lake, replace_shard, Trust.OLDER)
    return found


def _pass(area: LedgerContext, lake: Lake, replace_shard: bool, trust: Trust) -> Reconciliation:
    found = Reconciliation()
    journals = find_journals(area, found, trust)
    left: set[str] = set()
    for dataset in sorted({*known_datasets(area, lake, found), *journals.records}):
        errors = len(found.errors)
        reconcile_dataset(area, lake, dataset, journals, found, replace_shard=replace_shard, trust=trust)
        left |= {dataset} if len(found.errors) > errors else set()
    list_journals(area, journals, left)
    return found


def known_datasets(area: LedgerContext, lake: Lake, found: Reconciliation) -> list[str]:
    """Valid names only: what else lies in a lake's folder is not ours."""
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
    """A table that cannot be read leaves its dataset as it is: without it nobody knows what is published."""
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
