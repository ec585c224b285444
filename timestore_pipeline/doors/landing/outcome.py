"""The outcome of one file of the landing folder, and its report for an operator."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from timestore_pipeline.errors import TimestoreError, error_document
from timestore_pipeline.ingest.decided import Decided
from timestore_pipeline.ingest.staging_loop import StagedTally
from timestore_pipeline.system import clock


class Result(StrEnum):
    """How it ended."""

    STAGED = "staged"  # every row is durable; archived
    DUPLICATE = "duplicate"  # its content was taken before; archived
    REJECTED = "rejected"  # it can never be staged as it is
    POSTPONED = "postponed"  # it stays, and is tried again


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """One file. `tally` counts its durable batches, also when it was refused half-way."""

    dataset: str
    file: str  # relative to the dataset's folder
    bytes: int
    result: Result
    tally: StagedTally
    place: str = ""  # its path now, relative to the archive or to the rejected files
    error: TimestoreError | None = None
    decided: Decided = field(default_factory=Decided)  # about the dataset by this file, for its producer

    @property
    def done(self) -> bool:
        return self.result in (Result.STAGED, Result.DUPLICATE)

    @property
    def rows(self) -> int:
        """Durable rows, staged now or before."""
        return self.tally.rows + self.tally.duplicate_rows

    def to_dict(self) -> dict[str, Any]:
        """For scripts. Keys are a contract."""
        return {
            "dataset": self.dataset,
            "file": self.file,
            "bytes": self.bytes,
            "result": self.result.value,
            "batches": self.tally.batches,
            "rows": self.tally.rows,
            "duplicates": self.tally.duplicates,
            "duplicate_rows": self.tally.duplicate_rows,
            "place": self.place,
            "error": error_document(self.error),
            **self.decided.to_dict(),
        }


def reason_text(file: str, content: str, error: TimestoreError, tally: StagedTally) -> str:
    """The text of a reason file."""
    document = {
        "file": file,
        **error.to_dict(),
        "rows_staged": tally.rows + tally.duplicate_rows,
        "sha256": content,
        "rejected_at": clock.now().isoformat(),
    }
    return json.dumps(document, indent=2) + "\n"
