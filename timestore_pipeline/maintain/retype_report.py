"""The result of a change of type, or of a dry run, and its JSON for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from timestore_pipeline.errors import InvalidData, TimestoreError

_REMEDY = "nothing was changed; choose a type that holds all values, or --parse for text that spells such values"


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
