"""The content of the landing folder, per dataset, for an operator."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from timestore_pipeline.doors.landing import names
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.doors.landing.landing_file import Ignored, LandingFile
from timestore_pipeline.errors import LandingUnusable, TimestoreError, error_document
from timestore_pipeline.system import clock


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
