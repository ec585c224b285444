"""The result of a maintenance or of a change of type, or of a dry run of either, and its JSON for scripts.

The ledger counts what compactions cost. A process that dies between a compaction's commit and its count leaves that one
uncounted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from timestore_pipeline.errors import InvalidData, TimestoreError
from timestore_pipeline.maintain.grouping import FileGroup
from timestore_pipeline.staging.area import StagingArea

_REMEDY = "nothing was changed; choose a type that holds all values, or --parse for text that spells such values"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class DatasetUpkeep:
    """One dataset. In a dry run: the planned changes."""

    dataset: str
    has_table: bool = True
    files_before: int = 0  # live ones
    files_after: int = 0
    foreign_files: int = 0  # live ones that other tools wrote; maintenance does not touch them
    compactions: int = 0
    compacted_files: int = 0
    compacted_rows: int = 0  # proven to be the same before and after
    compacted_bytes: int = 0
    written_bytes: int = 0
    deleted: list[str] = field(default_factory=list)  # paths in the table's folder
    deleted_bytes: int = 0
    log_commits: int = 0
    log_waits_for: Sequence[str] = ()  # shards that may still need the rest
    forgotten_batches: int = 0  # with their idempotency keys
    forgotten_statistics: int = 0  # of files
    folded_flushes: int = 0  # see flush_stretches.py
    gave_way: int = 0  # groups whose files another process replaced meanwhile
    errors: list[TimestoreError] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "ok": self.ok,
            "has_table": self.has_table,
            "files_before": self.files_before,
            "files_after": self.files_after,
            "foreign_files": self.foreign_files,
            "compactions": self.compactions,
            "compacted_files": self.compacted_files,
            "compacted_rows": self.compacted_rows,
            "compacted_bytes": self.compacted_bytes,
            "written_bytes": self.written_bytes,
            "gave_way": self.gave_way,
            "deleted_files": list(self.deleted),
            "deleted_bytes": self.deleted_bytes,
            "log_commits": self.log_commits,
            "log_waits_for": list(self.log_waits_for),
            "forgotten_batches": self.forgotten_batches,
            "forgotten_statistics": self.forgotten_statistics,
            "folded_flushes": self.folded_flushes,
            "errors": [error.to_dict() for error in self.errors],
        }


@dataclass(frozen=True, slots=True)
class Upkeep:
    """All datasets, in the order in which they were maintained."""

    shard: str
    dry_run: bool
    datasets: Sequence[DatasetUpkeep]

    @property
    def ok(self) -> bool:
        return all(dataset.ok for dataset in self.datasets)

    def to_dict(self) -> dict[str, Any]:
        found = [dataset.to_dict() for dataset in self.datasets]
        return {"ok": self.ok, "shard": self.shard, "dry_run": self.dry_run, "datasets": found}


@dataclass(frozen=True, slots=True)
class Unfit:
    """A published value that the new type cannot hold."""

    file: str  # path in the table's folder
    row: int  # of the file, from 0
    value: str  # cut short


@dataclass(slots=True)
class RetypeReport:
    """One column. In a dry run: the planned changes."""

    dataset: str
    column: str  # or the path of a field
    before: str
    after: str
    dry_run: bool
    files: int = 0  # live ones, all of which are rewritten
    rows: int = 0
    bytes: int = 0
    unfit: int = 0  # rows with a value that the new type cannot hold
    examples: list[Unfit] = field(default_factory=list)  # the first of them
    unfit_batches: Mapping[str, str] = field(default_factory=dict)  # staged ones: batch id -> problem
    changed: bool = False
    version: int | None = None  # of the table with the new type; None = not changed, or unknown
    written_files: int = 0
    written_bytes: int = 0
    errors: list[TimestoreError] = field(default_factory=list)

    @property
    def needed(self) -> bool:
        """False when the column has that type already."""
        return self.before != self.after

    @property
    def ok(self) -> bool:
        return not self.errors

    def refuse_unfit(self) -> None:
        """Raise `InvalidData` when a value, published or staged, does not fit."""
        if self.unfit:
            [first, *_] = self.examples
            raise InvalidData(
                f"column {self.column!r} holds {first.value} ({self.before}) in row {first.row} of {first.file}, which"
                f" does not fit {self.after}; {self.unfit} rows in all",
                dataset=self.dataset,
                hint=_REMEDY,
            )
        for identity, problem in self.unfit_batches.items():
            message = f"batch {identity} is staged: {problem}; {len(self.unfit_batches)} batches in all"
            raise InvalidData(message, dataset=self.dataset, hint=_REMEDY)

    def to_dict(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "column": self.column,
            "from": self.before,
            "to": self.after,
            "ok": self.ok,
            "dry_run": self.dry_run,
            "changed": self.changed,
            "version": self.version,
            "files": self.files,
            "rows": self.rows,
            "bytes": self.bytes,
            "unfit_rows": self.unfit,
            "examples": [{"file": one.file, "row": one.row, "value": one.value} for one in self.examples],
            "unfit_batches": dict(self.unfit_batches),
            "written_files": self.written_files,
            "written_bytes": self.written_bytes,
            "errors": [error.to_dict() for error in self.errors],
        }


def count_compaction(area: StagingArea, dataset: str, group: FileGroup, written: int | None, seconds: float) -> None:
    """written: bytes of the new file; None = the group is as it was, and only the time was spent. Never raises."""
    amounts = {"compaction_seconds_total": seconds}
    if written is not None:
        amounts |= {
            "compactions_total": 1,
            "compacted_files_total": len(group.files),
            "compacted_rows_total": group.rows,
            "compacted_bytes_total": group.bytes,
            "compaction_written_bytes_total": written,
        }
    try:
        area.ledger.counters.add_to_table(dataset, amounts)
    except TimestoreError as error:
        _log.warning("dataset %s: no series counts this compaction: %s", dataset, error)
