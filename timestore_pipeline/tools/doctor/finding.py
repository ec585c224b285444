"""The result of a check, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, but an operator should look at it
    FAILED = "failed"  # it does not work, or soon will not


@dataclass(frozen=True, slots=True)
class Finding:
    """`seen`: a sentence. `remedy`: an operator's next step, empty where there is nothing to do."""

    status: Status
    seen: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One check; `look` may raise any exception."""

    name: str
    look: Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings of all checks, in order; a check has at least one finding."""

    findings: Sequence[tuple[str, Finding]]

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


def ok(seen: str) -> Finding:
    return Finding(Status.OK, seen)


def warning(seen: str, remedy: str) -> Finding:
    return Finding(Status.WARNING, seen, remedy)


def failed(seen: str, remedy: str) -> Finding:
    return Finding(Status.FAILED, seen, remedy)
