"""What lies in the landing folder, per dataset, as an operator asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from timestore_pipeline import clock
from timestore_pipeline.errors import LandingUnusable, TimestoreError
from timestore_pipeline.landing import names
from timestore_pipeline.landing.folder import LandingFile, LandingFolder, file_size
from timestore_pipeline.landing.outcome import error_document


@dataclass(frozen=True, slots=True)
class Amount:
    """Files and their bytes."""

    files: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, files: Iterable[LandingFile]) -> Amount:
        sizes = [file.bytes for file in files]
        return cls(len(sizes), sum(sizes))

    @classmethod
    def at(cls, paths: Iterable[Path]) -> Amount:
        sizes = [size for path in paths if (size := file_size(path)) is not None]
        return cls(len(sizes), sum(sizes))

    def to_dict(self) -> dict[str, int]:
        return {"files": self.files, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class LandingStatus:
    """One dataset's files."""

    dataset: str
    ready: Amount = Amount()  # the next run takes them
    waiting: Amount = Amount()  # just written, or put off
    archived: Amount = Amount()
    rejected: Amount = Amount()
    reasons: tuple[dict[str, Any], ...] = ()  # of the rejected files, as their reason files say
    error: TimestoreError | None = None  # the system does not let us look at them: nothing is counted

    def to_dict(self) -> dict[str, Any]:
        """Keys are a contract."""
        return {
            "dataset": self.dataset,
            "ready": self.ready.to_dict(),
            "waiting": self.waiting.to_dict(),
            "archived": self.archived.to_dict(),
            "rejected": self.rejected.to_dict(),
            "reasons": list(self.reasons),
            "error": error_document(self.error),
        }


def landing_status(folder: LandingFolder, only: str | None = None) -> list[LandingStatus]:
    """In name order; a dataset whose folders cannot be looked at says so. Raise `LandingUnusable` when none can."""
    datasets = sorted({*folder.datasets(), *folder.put_away()}) if only is None else [only]
    now = clock.now()
    return [_status_or_error(folder, dataset, now) for dataset in datasets]


def _status_or_error(folder: LandingFolder, dataset: str, now: datetime) -> LandingStatus:
    try:
        return _status(folder, dataset, now)
    except LandingUnusable as error:
        return LandingStatus(dataset, error=error)


def _status(folder: LandingFolder, dataset: str, now: datetime) -> LandingStatus:
    files = folder.files(dataset)
    rejected = folder.rejected(dataset)
    return LandingStatus(
        dataset,
        ready=Amount.of(file for file in files if file.not_before <= now),
        waiting=Amount.of(file for file in files if file.not_before > now),
        archived=Amount.at(folder.archived(dataset)),
        rejected=Amount.at(rejected),
        reasons=tuple(_reason(path) for path in rejected),
    )


def _reason(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.with_name(path.name + names.REASON).read_text())
        return {"place": names.shown(path), **document}
    except (OSError, ValueError, TypeError):
        return {"place": names.shown(path), "code": "unknown", "message": "there is no reason beside it", "hint": ""}
