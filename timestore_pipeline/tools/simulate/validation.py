"""The results of a simulation: figures, and a verdict on each point of the release notes' validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from timestore_pipeline.tools.crashtest.oracle import OracleVerdict
from timestore_pipeline.tools.simulate.load import Load

_MOST_NAMED = 3  # problems named in a check
_LIMITS = {  # the limit behind each reason for a drop
    "queue_full": "TIMESTORE_STAGING_MAX_PENDING",
    "dataset_bytes": "TIMESTORE_STAGING_MAX_DATASET_BYTES",
    "total_bytes": "TIMESTORE_STAGING_MAX_TOTAL_BYTES",
    "disk_full": "the disk",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Durations in seconds, None = there was nothing to measure."""

    producing_seconds: float
    draining_seconds: float
    peak_batches: int  # staged and not published
    peak_disk_bytes: int
    flushes: int
    failed_flushes: int
    files: int
    file_bytes: int
    flush_p95: float | None
    ack_p50: float | None
    ack_p95: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the validation."""

    check: str
    ok: bool
    seen: str
    required: str


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """`depth`: batches left after draining. `drops`: by reason. `refusals`: answers with `RetryLater` of any kind."""

    plan: Load
    slo: float  # seconds
    verdict: OracleVerdict
    verify_problems: Sequence[str]
    depth: int
    drops: Mapping[str, int]
    refusals: int
    faults: Sequence[str]
    measured: Measured

    @property
    def ok(self) -> bool:
        return all(point.ok for point in self.points())

    def points(self) -> list[Point]:
        """In the order of the release notes."""
        return [self._depth(), self._latency(), self._conservation(), self._books(), self._drops(), self._processes()]

    def to_dict(self) -> dict[str, Any]:
        plan, verdict = self.plan, self.verdict
        load = {name: getattr(plan, name) for name in ("datasets", "producers", "rows", "batches")}
        return {
            "ok": self.ok,
            "directory": str(plan.home),
            "load": load | {"seconds": plan.seconds if plan.batches is None else None},
            "acknowledged": {"batches": verdict.acked_batches, "rows": verdict.acked_rows},
            "published": {"batches": verdict.published_batches, "rows": verdict.published_rows},
            "slo_seconds": self.slo,
            "measured": asdict(self.measured),
            "checks": [asdict(point) for point in self.points()],
        }

    def _depth(self) -> Point:
        seen = f"{self.depth} batches after {self.measured.draining_seconds:.1f} s of draining"
        return Point("queue depth settles", self.depth == 0, f"{seen}, {self.measured.peak_batches} at most", "0")

    def _latency(self) -> Point:
        slowest, flushes = self.measured.flush_p95, self.measured.flushes
        seen = "no flush was published" if slowest is None else f"{slowest:.3f} s over {flushes} flushes"
        return Point("flush p95", slowest is not None and slowest <= self.slo, seen, f"at most {self.slo:g} s")

    def _conservation(self) -> Point:
        verdict = self.verdict
        acked = f"{verdict.acked_batches:,} batches, {verdict.acked_rows:,} rows acknowledged"
        seen = _some(verdict.findings) if verdict.findings else f"{acked}, each published once, content equal"
        holds = verdict.ok and verdict.acked_batches > 0
        return Point(
            "conservation", holds, seen if verdict.acked_batches else "nothing was acknowledged", "acked = published"
        )

    def _books(self) -> Point:
        return Point("timestore verify", not self.verify_problems, _some(self.verify_problems) or "ok", "ok")

    def _drops(self) -> Point:
        drops = ", ".join(f"{amount} {reason} ({_LIMITS[reason]})" for reason, amount in sorted(self.drops.items()))
        seen = f"{self.refusals} refusals; {drops or 'no drop counted'}" if self.refusals or drops else "0"
        return Point("drops", not self.drops and not self.refusals, seen, "0")

    def _processes(self) -> Point:
        seen = _some(self.faults) or f"{self.plan.producers} producers ended well, every flush succeeded"
        return Point("processes", not self.faults, seen, "no fault")


def _some(problems: Sequence[str]) -> str:
    more = f" and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
    return "; ".join(problems[:_MOST_NAMED]) + more
