"""One pass over segment files and Delta logs that enters into the ledger what it does not know.

After a ledger was restored from a backup, put together anew, or made heir of another one: what the log shows as
published is published, segment files nobody knows are adopted as a dead writer's. Safe beside running producers and
flushes, and safe to repeat: a crash leaves a ledger that knows more than before and is right as far as it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import pyarrow as pa

from timestore_pipeline.errors import InvalidDatasetName, TimestoreError
from timestore_pipeline.lake.published import PublishedCommit
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.columns import canonical_schema
from timestore_pipeline.model.commit import app_id, claimed_at_micros
from timestore_pipeline.model.dataset import Granularity, check_dataset_name
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.reconciling import PublishedFlush
from timestore_pipeline.staging.segment_contents import SegmentContents, read_contents


@dataclass(frozen=True, slots=True)
class Unadopted:
    """A segment file that could not be entered, and why; it is left where it is."""

    path: Path
    reason: str


@dataclass
class Reconciliation:
    """What the ledger has learnt."""

    published: list[FlushRef] = field(default_factory=list)  # flushes entered from the log
    adopted: list[str] = field(default_factory=list)  # segment ids
    owed: int = 0  # batches of adopted segments that are pending from now on
    unadopted: list[Unadopted] = field(default_factory=list)
    errors: list[TimestoreError] = field(default_factory=list)  # tables that do not answer

    def __iadd__(self, later: Reconciliation) -> Self:
        """With a later pass's: what still cannot be adopted or read is told once, as it stands."""
        self.published += later.published
        self.adopted += later.adopted
        self.owed += later.owed
        self.unadopted, self.errors = later.unadopted, later.errors
        return self


class Books(Protocol):
    """A staging area, or one whose ledger is being put together."""

    @property
    def directory(self) -> StagingDirectory: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def shard(self) -> str: ...


def reconcile(area: Books, lake: Lake, *, replace_shard: bool = False, whole: bool = False) -> Reconciliation:
    """Reconcile every dataset that ledger, segment files or lake know.

    replace_shard: also enter what other ledgers have published under this shard's name, whose heir this one becomes.
    whole: trust the ledger with nothing, neither the batches of segments it knows nor the end of a flush; only when
    nobody else uses the directory.
    """
    found = Reconciliation()
    for dataset in known_datasets(area, lake, found):
        reconcile_dataset(area, lake, dataset, found, replace_shard=replace_shard, whole=whole)
    return found


def known_datasets(area: Books, lake: Lake, found: Reconciliation) -> list[str]:
    """Valid names only: what else lies in a lake's folder is not ours."""
    names = {record.name for record in area.ledger.datasets.all()} | set(area.directory.datasets())
    try:
        names |= set(lake.datasets())
    except TimestoreError as error:
        found.errors.append(error)
    return sorted(name for name in names if _is_name(name))


def reconcile_dataset(
    area: Books, lake: Lake, dataset: str, found: Reconciliation, *, replace_shard: bool, whole: bool = False
) -> None:
    """A table that cannot be read leaves its dataset as it is: without it nobody knows what is published."""
    table = lake.table(dataset)
    try:
        commits = [c for c in table.published(area.shard) if replace_shard or c.ledger_id == area.ledger.identity]
        newest = table.newest(app_id(area.shard, dataset)).epoch
        _enter_published(area, dataset, table, commits, found, whole)
        if newest and replace_shard:
            area.ledger.datasets.ensure(dataset)
            area.ledger.reconciling.raise_epoch(dataset, newest)
    except TimestoreError as error:
        found.errors.append(error)
        return
    published = {identity for commit in commits for identity in commit.batch_ids()}
    for path in _segments(area, dataset) if whole else unknown_segments(area, dataset):
        _adopt(area, dataset, path, published, found, whole)


def unknown_segments(area: Books, dataset: str) -> list[Path]:
    """A segment is registered before its file is made and forgotten after the file is gone."""
    paths = _segments(area, dataset)
    return [path for path in paths if not area.ledger.audit.is_known(path.stem) and path.exists()]


def _segments(area: Books, dataset: str) -> list[Path]:
    return sorted(area.directory.segment_folder(dataset).glob("*.duckdb"))


def _enter_published(
    area: Books,
    dataset: str,
    table: LakeTable,
    commits: Sequence[PublishedCommit],
    found: Reconciliation,
    whole: bool,
) -> None:
    if not commits:
        return
    area.ledger.datasets.ensure(dataset)
    _describe_as_published(area, dataset, table, commits[-1])
    for commit in commits:
        if area.ledger.reconciling.enter_published(_flush(dataset, commit), whole=whole):
            found.published.append(FlushRef(dataset, commit.epoch))


def _describe_as_published(area: Books, dataset: str, table: LakeTable, newest: PublishedCommit) -> None:
    granularity = newest.metadata.get("granularity")
    if granularity is None or area.ledger.datasets.get(dataset).schema is not None:
        return
    partition = set(table.partition_columns())
    columns = pa.schema([column for column in table.schema() if column.name not in partition])
    area.ledger.reconciling.describe(
        dataset, canonical_schema(columns), newest.metadata.get("time_column"), granularity
    )


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


def _adopt(area: Books, dataset: str, path: Path, published: set[str], found: Reconciliation, whole: bool) -> None:
    try:
        contents = read_contents(path, dataset)
    except TimestoreError as error:
        if path.exists():
            found.unadopted.append(Unadopted(path, str(error)))
        return
    if problem := _problem(area, contents):
        found.unadopted.append(Unadopted(path, problem))
        return
    header = contents.header
    area.ledger.datasets.ensure(dataset)
    granularity = header.granularity or (Granularity.DAY if header.time_column else Granularity.NONE)
    area.ledger.reconciling.describe(dataset, header.schema, header.time_column, granularity)
    found.owed += area.ledger.reconciling.adopt(dataset, header.segment_id, contents.batches, published, whole=whole)
    found.adopted.append(header.segment_id)


def _problem(area: Books, contents: SegmentContents) -> str:
    """Why a readable segment cannot be adopted; empty = it can."""
    if contents.header.shard != area.shard:
        return f"it belongs to shard {contents.header.shard!r}"
    if contents.torn:
        return f"it does not hold all rows of batches {', '.join(contents.torn)}"
    return ""


def _is_name(name: str) -> bool:
    try:
        check_dataset_name(name)
    except InvalidDatasetName:
        return False
    return True
