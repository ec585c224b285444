"""The findings of an audit, and their JSON for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from timestore_pipeline.errors import Corrupted, TimestoreError

RESTORE = "restore the table's folder from a backup, or stage the rows again under a new dataset"

_MOST = 20  # findings of one kind that are listed one by one


@dataclass(frozen=True, slots=True)
class Finding:
    """One discrepancy. `code` is stable, `hint` is the remedy."""

    code: str
    message: str
    hint: str = ""
    unread: bool = False  # it could not be read now, which says nothing about its rows

    @classmethod
    def of(cls, error: TimestoreError) -> Finding:
        return cls(error.code, str(error), error.hint, unread=not isinstance(error, Corrupted))

    def to_dict(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message, "hint": self.hint}


@dataclass(frozen=True, slots=True)
class DatasetAudit:
    """One dataset's totals. Rows per state are counted; accepted rows were acknowledged to producers."""

    dataset: str
    accepted_batches: int = 0
    accepted_rows: int = 0
    pending_rows: int = 0
    in_flight_rows: int = 0
    published_rows: int = 0
    quarantined_rows: int = 0
    discarded_rows: int = 0
    problems: Sequence[Finding] = ()
    warnings: Sequence[Finding] = ()  # deserve attention; the totals are right all the same
    mended: Sequence[str] = ()  # repairs made by --repair

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def certain_problems(self) -> int | None:
        """How many are listed; None = the only ones are that something could not be read."""
        certain = sum(not problem.unread for problem in self.problems)
        return certain if certain or self.ok else None

    @property
    def repaired(self) -> bool:
        return bool(self.mended)

    def to_dict(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "accepted_batches": self.accepted_batches,
            "accepted_rows": self.accepted_rows,
            "pending_rows": self.pending_rows,
            "in_flight_rows": self.in_flight_rows,
            "published_rows": self.published_rows,
            "quarantined_rows": self.quarantined_rows,
            "discarded_rows": self.discarded_rows,
            "ok": self.ok,
            "problems": [finding.to_dict() for finding in self.problems],
            "warnings": [finding.to_dict() for finding in self.warnings],
            "repaired": self.repaired,
            "mended": list(self.mended),
        }


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All datasets of one shard, in name order."""

    shard: str
    datasets: Sequence[DatasetAudit]

    @property
    def ok(self) -> bool:
        return all(dataset.ok for dataset in self.datasets)

    def sentences(self) -> list[str]:
        """Every problem with its dataset."""
        return [f"{audit.dataset}: {problem.message}" for audit in self.datasets for problem in audit.problems]

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, "shard": self.shard, "datasets": [dataset.to_dict() for dataset in self.datasets]}


def abridged(findings: Iterable[Finding]) -> list[Finding]:
    """The first of each kind and a count of the rest: a lost disk would otherwise fill the screen."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.code, []).append(finding)
    shown: list[Finding] = []
    for found in kinds.values():
        shown += found[:_MOST]
        if len(found) > _MOST:
            shown.append(replace(found[0], message=f"and {len(found) - _MOST} more"))
    return shown
