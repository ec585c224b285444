"""The results of a crash test as figures: the product's own books are kept apart from the test's observations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from timestore_pipeline.tools.crashtest.oracle import OracleVerdict
from timestore_pipeline.tools.crashtest.process_phases import IDLE
from timestore_pipeline.tools.crashtest.schedule import CrashPlan, Role


@dataclass(frozen=True, slots=True)
class FlushCounts:
    """How the flushes ended, from the product's ledger; `settled`: by another process after theirs was killed."""

    published: int
    aborted: int
    settled: int


@dataclass(frozen=True, slots=True)
class Maintained:
    """The maintainers' work during the kills, as far as they recorded it before they were killed."""

    compactions: int = 0  # groups of files that became one
    files: int = 0  # that were compacted
    deleted: int = 0  # files
    log_commits: int = 0  # removed from the tables' logs


@dataclass(frozen=True, slots=True)
class Cost:
    """What the test took. `pace`: strikes per second in the first and in the last quarter of them."""

    seconds: float
    pace: tuple[float, float]
    disk: int  # bytes in the directory at the end
    memory: int  # bytes, the largest process at its largest


@dataclass(frozen=True, slots=True)
class CrashReport:
    """`duplicates_refused`: batches sent again and recognised. `refused`: answers with `RetryLater`.

    `faults`: everything that must never happen, besides `verdict.findings`. `verify_problems`: the problems that
    `timestore verify` finds at the end.
    """

    plan: CrashPlan
    kills: Mapping[tuple[Role, str], int]  # by role and by the victim's phase
    hosts_lost: int
    verdict: OracleVerdict
    duplicates_refused: int
    refused: int
    flushes: FlushCounts
    maintained: Maintained
    faults: Sequence[str]
    verify_problems: Sequence[str]
    cost: Cost

    @property
    def ok(self) -> bool:
        return self.verdict.ok and not self.faults and not self.verify_problems

    @property
    def total_kills(self) -> int:
        return sum(self.kills.values())

    def kills_by_role(self) -> dict[str, int]:
        return _summed((role.value, kills) for (role, _), kills in self.kills.items())

    def kills_by_phase(self) -> dict[str, int]:
        """Most frequent first."""
        return _summed((phase, kills) for (_, phase), kills in self.kills.items())

    def kills_at_work(self) -> int:
        return self.total_kills - self.kills_by_phase().get(IDLE, 0)

    def problems(self) -> list[str]:
        return [*self.verdict.findings, *self.faults, *(f"verify: {text}" for text in self.verify_problems)]

    def to_dict(self) -> dict[str, Any]:
        verdict = self.verdict
        return {
            "ok": self.ok,
            "directory": str(self.plan.home),
            "seed": self.plan.seed,
            "sabotage": self.plan.sabotage,
            "kills": {"total": self.total_kills, "at_work": self.kills_at_work()}
            | {"hosts_lost": self.hosts_lost}
            | {"by_role": self.kills_by_role(), "by_phase": self.kills_by_phase()},
            "acknowledged": {"batches": verdict.acked_batches, "rows": verdict.acked_rows},
            "published": {"batches": verdict.published_batches, "rows": verdict.published_rows},
            "in_doubt": {"batches": verdict.in_doubt, "published": verdict.in_doubt_published},
            "duplicates_refused": self.duplicates_refused,
            "refused": self.refused,
            "flushes": {name: getattr(self.flushes, name) for name in ("published", "aborted", "settled")},
            "maintenance": asdict(self.maintained),
            "lost_rows": verdict.lost,
            "duplicated_rows": verdict.duplicated,
            "unverifiable_rows": verdict.unverifiable,
            "verify_ok": not self.verify_problems,
            "problems": self.problems(),
            "seconds": round(self.cost.seconds, 1),
            "strikes_per_second": {"first_quarter": self.cost.pace[0], "last_quarter": self.cost.pace[1]},
            "disk_bytes": self.cost.disk,
            "memory_bytes": self.cost.memory,
        }


def _summed(pairs: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for name, amount in pairs:
        total[name] += amount
    return dict(total.most_common())
