"""Examines a deployment: the checks run so that none can prevent the others, and each finding names its remedy.

Each check runs in a thread of its own with a deadline. A check that raises is a finding; one that hangs is abandoned.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger.inspection import DatasetHealth, LedgerInspection, inspect

T = TypeVar("T")
PATIENCE = 20.0  # seconds for one check; a request to an unreachable object store fails after a few

_NO_REMEDY = "read the error; the other checks ran all the same"


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, but an operator should look at it
    FAILED = "failed"  # it does not work, or soon will not


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """`seen`: a sentence. `remedy`: an operator's next step, empty where there is nothing to do."""

    status: Status
    seen: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One check; `look` may raise any exception."""

    name: str
    look: Callable[[], Iterable[CheckFinding]]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings of all checks, in order; a check has at least one finding."""

    findings: Sequence[tuple[str, CheckFinding]]

    @property
    def ok(self) -> bool:
        """No check failed; there may be warnings."""
        return all(finding.status is not Status.FAILED for _, finding in self.findings)

    def count(self, status: Status) -> int:
        return sum(finding.status is status for _, finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        checks = [
            {"check": name, "status": found.status, "seen": found.seen, "remedy": found.remedy}
            for name, found in self.findings
        ]
        return {"ok": self.ok, "checks": checks}


def ok(seen: str) -> CheckFinding:
    return CheckFinding(Status.OK, seen)


def warning(seen: str, remedy: str) -> CheckFinding:
    return CheckFinding(Status.WARNING, seen, remedy)


def failed(seen: str, remedy: str) -> CheckFinding:
    return CheckFinding(Status.FAILED, seen, remedy)


@dataclass(frozen=True, slots=True)
class Deployment:
    """`problems`: of the environment; a variable that cannot be read has its default in `settings`."""

    settings: Settings
    problems: Sequence[str] = ()

    @classmethod
    def from_env(cls) -> Deployment:
        return cls(*Settings.lenient())

    @property
    def directory(self) -> StagingDirectory:
        return StagingDirectory(self.settings.staging_directory)

    def ledger(self, look: Callable[[LedgerInspection], T]) -> T | None:
        """The result of `look` on the ledger; None when there is no ledger."""
        return inspect(self.directory.ledger, look) if self.directory.ledger.exists() else None

    def datasets(self) -> list[DatasetHealth]:
        """The datasets in the ledger."""
        return self.ledger(LedgerInspection.datasets) or []


def examine(checks: Sequence[Check], patience: float = PATIENCE) -> Diagnosis:
    """Run the checks one after the other; never raises."""
    return Diagnosis([(check.name, finding) for check in checks for finding in _run(check, patience)])


def _run(check: Check, patience: float) -> list[CheckFinding]:
    outcome: queue.SimpleQueue[list[CheckFinding]] = queue.SimpleQueue()
    threading.Thread(target=_look, args=(check, outcome), name=f"check-{check.name}", daemon=True).start()
    try:
        return outcome.get(timeout=patience)
    except queue.Empty:
        return [failed(f"no answer within {patience:g} s", "the disk or the service of this check hangs: look at it")]


def _look(check: Check, outcome: queue.SimpleQueue[list[CheckFinding]]) -> None:
    try:
        outcome.put(list(check.look()))
    except TimestoreError as error:
        outcome.put([failed(f"{error} [{error.code}]", error.hint or _NO_REMEDY)])
    except Exception as error:  # noqa: BLE001  # any error is this check's finding
        outcome.put([failed(f"the check itself failed: {type(error).__name__}: {error}", _NO_REMEDY)])
