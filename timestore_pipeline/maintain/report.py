"""The result of a maintenance, or of a dry run, and its JSON for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from timestore_pipeline.errors import TimestoreError


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
