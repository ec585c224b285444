"""The crash test finds every fault one can build in, and names a batch: a test that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from timestore_pipeline.system import clock
from timestore_pipeline.tools.crashtest.lake_files import PlainLog
from timestore_pipeline.tools.crashtest.process_phases import TARGETS
from timestore_pipeline.tools.crashtest.producer_journal import read_story
from timestore_pipeline.tools.crashtest.results import CrashReport
from timestore_pipeline.tools.crashtest.run import crashtest
from timestore_pipeline.tools.crashtest.sabotage import SABOTAGES
from timestore_pipeline.tools.crashtest.schedule import DATASETS, ROSTER, CrashPlan, Role, Strike


@dataclass(slots=True)
class FollowedLogs:
    """Read as they grow, since maintainers remove their beginnings."""

    logs: Sequence[PlainLog]
    seen: int = 0

    def commits_of_several(self) -> int:
        """Commits of several files so far."""
        self.seen += sum(len(commit.added) > 1 for log in self.logs for commit in log.advance())
        return self.seen


@dataclass(frozen=True, slots=True)
class Marksman(CrashPlan):
    """Strikes where the fault shows, instead of anywhere, and only once every process has done enough for that."""

    role: Role = Role.PRODUCER
    phase: str = "journal append"

    def strikes(self) -> Iterator[Strike]:
        victims = [process for process, role in enumerate(ROSTER) if role is self.role]
        choice = (TARGETS[self.role].index(self.phase) + 0.5) / len(TARGETS[self.role])
        logs = FollowedLogs([PlainLog(self.home / "lake" / dataset) for dataset in DATASETS])
        for number in range(self.kills):
            self.wait_for_work(logs, 120 * (number + 1), 3 * (number + 1))
            yield Strike(0.0, [victims[number % len(victims)]], aimed=True, choice=choice, dwell=0.0)

    def wait_for_work(self, logs: FollowedLogs, acked: int, commits: int) -> None:
        deadline = clock.monotonic() + 300
        while self.acked() < acked or logs.commits_of_several() < commits:
            assert clock.monotonic() < deadline
            clock.sleep(0.05)

    def acked(self) -> int:
        return sum(
            batch.acked for process in range(len(ROSTER)) for batch in read_story(self.journals, process).sent.values()
        )


# Where to strike, and how often; most faults show without any kill.
WHERE = {
    "ack-early": (Role.PRODUCER, "journal append", 3),
    "write-late": (Role.PRODUCER, "ledger promise", 3),
    "unlink-journals": (Role.FLUSHER, "claim", 3),
    "assume-unpublished": (Role.FLUSHER, "finalize", 4),
    "compact-carelessly": (Role.MAINTAINER, "vacuum", 2),
}

ALWAYS = ("drop-a-row",)  # with every change, the others every night


def sabotaged(home: Path, fault: str) -> CrashReport:
    role, phase, kills = WHERE.get(fault, (Role.READER, "read", 1))
    return crashtest(Marksman(home, kills, 1, fault, role, phase))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [fault if fault in ALWAYS else pytest.param(fault, marks=pytest.mark.nightly) for fault in sorted(SABOTAGES)],
)
def test_the_fault_is_found_and_a_batch_is_named(tmp_path: Path, fault: str) -> None:
    report = sabotaged(tmp_path / "test", fault)
    assert not report.ok
    assert any("batch " in problem and "/" in problem for problem in report.problems()), report.problems()
    expected = {
        "ack-early": report.verdict.lost,
        "write-late": report.verdict.lost,
        "unlink-journals": report.verdict.lost,
        "assume-unpublished": report.verdict.duplicated,
        "drop-a-row": report.verdict.lost,
        "alter-a-value": report.verdict.unverifiable,
        "forget-keys": report.verdict.duplicated,
        "publish-by-halves": report.verdict.lost,
        "compact-carelessly": report.verdict.lost,
        "promise-too-much": sum("claims to be complete until" in fault for fault in report.faults),
    }
    assert expected[fault] > 0
