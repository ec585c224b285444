"""Batches that the ledger has as published are in the lake, once, and the lake has no other rows of this shard.

Pure. The facts are read before the table's history and `epochs` after it, so neither a flush that publishes meanwhile
nor one that is not finalized yet looks like a contradiction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from timestore_pipeline.lake.history import TableCommit, TableHistory
from timestore_pipeline.lake.layout import compacted_by, written_by
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.recovery.findings import RESTORE, Finding
from timestore_pipeline.staging.ledger.audit import FlushFacts, ProvenanceGap
from timestore_pipeline.staging.ledger.flush_stretches import FlushStretch

_LEFTOVER = "readers do not see it, and its flush can never be published: `timestore verify --repair` deletes it"


@dataclass(frozen=True, slots=True)
class PublishedAudit:
    """One shard's view of one table."""

    shard: str
    stretches: Sequence[FlushStretch]
    flushes: Sequence[FlushFacts]
    epochs: Mapping[int, FlushState]
    history: TableHistory | None  # None = there is no table
    app_id: str = ""  # under which the shard's epochs are in the log
    folder: Mapping[str, int] = field(default_factory=dict)  # without a table: its Parquet files, path -> bytes

    def problems(self) -> Iterator[Finding]:
        """Rows that are lost, doubled or not accounted for."""
        if self.history is None:
            folded = sum(stretch.volume.rows for stretch in self.stretches)
            if published := folded + sum(flush.rows for flush in self._published()):
                yield Finding("missing_table", f"{published} rows were published, but there is no table", RESTORE)
            return
        ours = [c for c in self.history.commits if c.published and c.metadata.get("shard") == self.shard]
        commits = {int(commit.metadata["epoch"]): commit for commit in ours}
        removed = self.history.removed()
        for flush in self._published():
            yield from _commit_findings(flush, commits.get(flush.epoch), self.history)
            yield from _file_findings(flush, self.history, removed)
        for epoch, commit in commits.items():
            yield from self._unknown(epoch, commit)
        yield from _stored_findings(self.history)
        yield from _row_findings(self.history)
        yield from _compaction_findings(self.history)

    def warnings(self) -> Iterator[Finding]:
        """Findings that deserve attention although no row is lost."""
        yield from self._unmanaged_files(self._files)
        if self.history is not None:
            yield from _foreign_commits(self.history)
            yield from _limits_of_the_log(self.history)

    def direct(self) -> list[str]:
        """Paths of files that no commit, no flush in the ledger and no flush of any shard accounts for."""
        return [path for path in self._unmanaged(self._files) if (written_by(path) or compacted_by(path)) is None]

    @property
    def _files(self) -> TableHistory:
        return self.history or TableHistory((), {}, self.folder)

    def _published(self) -> Iterator[FlushFacts]:
        return (flush for flush in self.flushes if flush.state is FlushState.PUBLISHED)

    def _unknown(self, epoch: int, commit: TableCommit) -> Iterator[Finding]:
        """A commit whose flush the ledger lacks or has aborted; an exported flush only needs to be finalized."""
        state = self.epochs.get(epoch)
        if state in (FlushState.PUBLISHED, FlushState.EXPORTED) or self._is_folded(epoch):
            return
        known = "does not have that flush" if state is None else f"has that flush as {state}"
        text = f"version {commit.version} of the table publishes epoch {epoch} of this shard; the ledger {known}"
        hint = "`timestore recover` enters it if this ledger is an older copy, with --replace-shard if another is gone"
        yield Finding("unknown_commit", text, hint)

    def leftovers(self) -> list[str]:
        """Files that are proven to belong to a flush that was never published and never can be; they may be deleted."""
        if self.history is None:
            return []
        return [path for path in self._unmanaged(self.history) if not self._why_kept(self.history, path)]

    def _unmanaged(self, history: TableHistory) -> list[str]:
        named = history.named() | {path for flush in self.flushes for path in flush.files}
        return [
            path
            for path in sorted(history.stored.keys() - named)
            if not (self._is_old_or_in_progress(path) or history.may_be_in_progress(path))
        ]

    def _unmanaged_files(self, history: TableHistory) -> Iterator[Finding]:
        for path in self._unmanaged(history):
            reason = self._why_kept(history, path)
            hint = f"readers do not see it; --repair keeps it: {reason}" if reason else _LEFTOVER
            yield Finding("unmanaged_file", f"no commit and no flush names the file {path}", hint)

    def _is_old_or_in_progress(self, path: str) -> bool:
        """Written by a flush that is folded by now or has not recorded it yet, or by another shard, whose ledger is out
        of reach.
        """
        shard, epoch = written_by(path) or (self.shard, 0)
        state = self.epochs.get(epoch)
        return shard != self.shard or self._is_folded(epoch) or state in (FlushState.CLAIMED, FlushState.EXPORTED)

    def _is_folded(self, epoch: int) -> bool:
        return any(epoch in stretch for stretch in self.stretches)

    def _why_kept(self, history: TableHistory, path: str) -> str:
        """Why a file may still be published; empty = it is proven that no commit names it, and that none ever will.

        An epoch that this ledger has aborted is not enough: another ledger with this shard's name may use it. Once the
        log has passed an epoch, it can no longer be published.
        """
        if compacted_by(path) is not None:
            return "a compaction that died left it, and the next `timestore maintain` deletes it"
        written = written_by(path)
        if written is None:
            return (
                "no flush wrote it. `timestore legacy audit` shows its date, `timestore legacy import` stages its rows"
            )
        _, epoch = written
        if self.epochs.get(epoch) is not FlushState.ABORTED:
            return f"this ledger has not aborted a flush {epoch}"
        if not history.complete:
            return "log cleanup has removed the oldest commits"
        ours = (commit.metadata for commit in history.commits if commit.metadata.get("app_id") == self.app_id)
        newest = max((int(metadata["epoch"]) for metadata in ours), default=0)
        return "" if epoch <= newest else f"until the log has passed epoch {epoch}, with the next flush"


def content_findings(table: LakeTable, history: TableHistory, *, deep: bool) -> Iterator[Finding]:
    """Problems inside the Parquet files; missing files and files of another size are reported separately."""
    sound = {path: live for path, live in history.live.items() if history.stored.get(path) == live.bytes}
    for path, problem in table.damaged_files(sound, deep=deep):
        yield Finding("file_unreadable", f"{table.uri}/{path}: {problem}", RESTORE)


def provenance_findings(gaps: Sequence[ProvenanceGap]) -> Iterator[Finding]:
    """Published batches whose rows do not add up over the files they went to."""
    for gap in gaps:
        text = f"{gap.rows} rows of {gap.batches} were published, {gap.traced} of them are traced to files"
        yield Finding("provenance_differs", text, "compare the flush's files with `timestore flushes`")


def _commit_findings(flush: FlushFacts, commit: TableCommit | None, history: TableHistory) -> Iterator[Finding]:
    if commit is None:
        if history.complete:
            yield Finding("flush_not_in_log", f"no commit carries the published epoch {flush.epoch}", RESTORE)
        return
    batches, rows = commit.metadata.get("batches"), commit.metadata.get("rows")
    if (batches, rows) != (flush.batches, flush.rows):
        text = (
            f"epoch {flush.epoch}: version {commit.version} has {batches} batches of {rows} rows,"
            f" the ledger {flush.batches} of {flush.rows}"
        )
        yield Finding("flush_differs", text, "log or ledger was changed by hand: compare both with a backup")


def _file_findings(flush: FlushFacts, history: TableHistory, removed: Set[str]) -> Iterator[Finding]:
    if sum(flush.files.values()) != flush.rows:
        text = f"epoch {flush.epoch} published {flush.rows} rows, its files hold {sum(flush.files.values())}"
        yield Finding("flush_files_differ", text, "the ledger was changed by hand: compare it with a backup")
    for path, rows in flush.files.items():
        live = history.live.get(path)
        if live is None and path not in removed and history.complete:
            yield Finding("file_not_live", f"epoch {flush.epoch}: the table does not name {path}", RESTORE)
        if live is not None and live.rows is not None and live.rows != rows:
            text = f"epoch {flush.epoch}: {path} has {live.rows} rows in the table, {rows} in the ledger"
            yield Finding("file_rows_differ", text, RESTORE)


def _stored_findings(history: TableHistory) -> Iterator[Finding]:
    for path, live in history.live.items():
        size = history.stored.get(path)
        if size is None:
            yield Finding("file_missing", f"the table names {path}, which is missing", RESTORE)
        elif size != live.bytes:
            text = f"{path} has {size} bytes, it was published with {live.bytes}"
            yield Finding("file_changed", text, RESTORE)


def _row_findings(history: TableHistory) -> Iterator[Finding]:
    """The table holds all rows ever added: only a delete by another tool removes rows."""
    added = [rows for commit in history.commits if commit.changes_data for rows in commit.added.values()]
    live = [file.rows for file in history.live.values()]
    if not history.complete or None in added or None in live:
        return
    expected, found = sum(filter(None, added)), sum(filter(None, live))
    if expected != found:
        text = f"all commits added {expected} rows, the table's files hold {found}{_deletes(history)}"
        yield Finding(
            "table_rows_differ", text, "find those versions in the table's history and restore the version before them"
        )


def _compaction_findings(history: TableHistory) -> Iterator[Finding]:
    """A commit that moves rows into other files must add as many rows as it removes."""
    known = history.rows_known()
    for commit in history.commits:
        if commit.changes_data or not commit.removed:
            continue
        removed, added = [known.get(path) for path in commit.removed], list(commit.added.values())
        if None not in removed and None not in added and sum(filter(None, removed)) != sum(filter(None, added)):
            text = (
                f"version {commit.version} replaced files of {sum(filter(None, removed))} rows"
                f" by files of {sum(filter(None, added))}"
            )
            yield Finding("compaction_differs", text, "restore the version before it")


def _deletes(history: TableHistory) -> str:
    versions = [str(c.version) for c in history.commits if c.changes_data and c.removed]
    return f"; versions {', '.join(versions)} removed data" if versions else ""


def _foreign_commits(history: TableHistory) -> Iterator[Finding]:
    for commit in history.commits:
        if commit.changes_data and commit.added and not commit.published:
            text = f"version {commit.version} added {len(commit.added)} files that no flush wrote"
            yield Finding("foreign_rows", text, "let one writer own the table, or ignore this if it was intended")


def _limits_of_the_log(history: TableHistory) -> Iterator[Finding]:
    if not history.complete:
        yield Finding("log_trimmed", "the oldest commits were removed; flushes are traced into files instead")
    if any(file.rows is None for file in history.live.values()):
        yield Finding("no_statistics", "some files carry no row count; the table's rows were not added up")
