"""Reports of the landing folder for an operator: its content per dataset, and the outcome of each file taken."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from timestore_pipeline.doors.landing import names
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.doors.landing.landing_file import Ignored, LandingFile
from timestore_pipeline.errors import LandingUnusable, TimestoreError, error_document
from timestore_pipeline.ingest.decided import Decided
from timestore_pipeline.ingest.staging_loop import StagedTally
from timestore_pipeline.system import clock


class Result(StrEnum):
    """How one file ended."""

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


@dataclass(frozen=True, slots=True)
class Amount:
    """Files and their bytes."""

    files: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, files: Iterable[LandingFile]) -> Amount:
        return cls.sizes(file.bytes for file in files)

    @classmethod
    def sizes(cls, sizes: Iterable[int]) -> Amount:
        files = total = 0
        for size in sizes:
            files, total = files + 1, total + size
        return cls(files, total)

    def to_dict(self) -> dict[str, int]:
        return {"files": self.files, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class LandingStatus:
    """One dataset's files."""

    dataset: str
    ready: Amount = Amount()  # the next run takes them
    waiting: Amount = Amount()  # just written, or postponed
    archived: Amount = Amount()
    rejected: Amount = Amount()
    reasons: tuple[dict[str, Any], ...] = ()  # of the rejected files, from their reason files
    ignored: tuple[Ignored, ...] = ()  # links and the like
    error: TimestoreError | None = None  # the folders cannot be read, so nothing is counted

    def to_dict(self) -> dict[str, Any]:
        """Keys are a contract."""
        return {
            "dataset": self.dataset,
            "ready": self.ready.to_dict(),
            "waiting": self.waiting.to_dict(),
            "archived": self.archived.to_dict(),
            "rejected": self.rejected.to_dict(),
            "reasons": list(self.reasons),
            "ignored": [asdict(one) for one in self.ignored],
            "error": error_document(self.error),
        }


def landing_status(folder: LandingFolder, only: str | None = None) -> list[LandingStatus]:
    """In name order; a dataset whose folders cannot be read has an error. Raise `LandingUnusable` when none can."""
    datasets = sorted({*folder.datasets(), *folder.put_away()}) if only is None else [only]
    return [_status(folder, dataset) for dataset in datasets]


def _status(folder: LandingFolder, dataset: str) -> LandingStatus:
    now = clock.now()
    try:
        files = folder.files(dataset)
        return LandingStatus(
            dataset,
            ready=Amount.of(file for file in files if file.not_before <= now),
            waiting=Amount.of(file for file in files if file.not_before > now),
            archived=Amount.sizes(folder.archived_bytes(dataset)),
            rejected=Amount.sizes(folder.rejected_bytes(dataset)),
            reasons=tuple(_reason(folder, rejected) for rejected in folder.rejected(dataset)),
            ignored=tuple(folder.ignored(dataset)),
        )
    except LandingUnusable as error:
        return LandingStatus(dataset, error=error)


def _reason(folder: LandingFolder, rejected: PurePath) -> dict[str, Any]:
    """The reason file beside a rejected file; any user may have written it, so missing keys get defaults."""
    document: dict[str, Any] = {"code": "unknown", "message": "there is no reason beside it", "hint": ""}
    with suppress(OSError, ValueError, TypeError, RecursionError):
        document |= json.loads(folder.reason(rejected))
    texts = {key: str(document[key]) for key in ("code", "message", "hint")}
    return {**document, **texts, "place": names.shown(folder.root / rejected)}
