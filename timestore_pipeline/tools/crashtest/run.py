"""A crash test from the empty directory to the verdict.

    prepare -> storm (strikes, and pauses for work to end) -> let all processes end -> drain -> maintain -> judge

Interrupted at any point, it ends its processes and leaves the directory as it is.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from timestore_pipeline.errors import InvalidInput, RetryLater, TimestoreError
from timestore_pipeline.model.flush import FlushState, Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.system import clock
from timestore_pipeline.tools.crashtest.oracle import judge, leftovers
from timestore_pipeline.tools.crashtest.producer_journal import Story, read_story
from timestore_pipeline.tools.crashtest.reader import broken_promises, published_tables, read_on, sightings
from timestore_pipeline.tools.crashtest.results import Cost, CrashReport, FlushCounts, Maintained
from timestore_pipeline.tools.crashtest.roles import maintain_all, maintained, settled
from timestore_pipeline.tools.crashtest.schedule import DATASETS, ROSTER, SENDERS, CrashPlan, Role
from timestore_pipeline.tools.crashtest.victims import KillCounts, Victims
from timestore_pipeline.wiring import Timestore

_EVERYTHING = 1_000_000_000
PATIENCE = 60.0  # seconds without progress of the last flushes, or until a process is killed instead
_PAUSE_EVERY = 50  # kills
_WORK_PATIENCE = 20.0  # seconds
_SURELY_COMPACTED = 100  # kills by which there are small files to compact

Progress = Callable[[int], None]  # called with the number of kills so far


def crashtest(plan: CrashPlan, progress: Progress = lambda _kills: None) -> CrashReport:
    """Run the test in `plan.home`, which must be new or empty; raises `InvalidInput` if it is not."""
    started = clock.monotonic()
    _prepare(plan)
    tally = _storm(plan, progress)
    with Timestore(plan.settings()) as timestore:
        undone = [str(error) for error in recover(timestore.area, timestore.lake).errors]
        undone += drain(timestore, DATASETS, "crashtest-drain")
        read_on(plan, published_tables(plan))  # the last flushes came after the last life of the reader
        undone += [*maintain_all(timestore), *leftovers(plan.home / "lake")]
        return _report(plan, timestore, tally, undone, started)


def remove(plan: CrashPlan) -> None:
    """Delete the test's directory."""
    shutil.rmtree(plan.home)


def _prepare(plan: CrashPlan) -> None:
    check_is_new(plan.home)
    plan.journals.mkdir(parents=True)
    plan.logs.mkdir()
    with Timestore(plan.settings()) as timestore:
        for dataset, granularity in DATASETS.items():
            timestore.set_metadata(dataset, {"time_column": "at", "partition": {"granularity": granularity.value}})


def check_is_new(home: Path) -> None:
    """Raise `InvalidInput` unless the directory is missing or empty: no other directory is ever touched."""
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise InvalidInput(f"{home} is not empty", hint="name a directory that does not exist yet, or an empty one")


def _storm(plan: CrashPlan, progress: Progress) -> KillCounts:
    with Victims(plan) as victims:
        victims.start()
        pauses = 0
        for strike in plan.strikes():
            began = clock.monotonic()
            clock.sleep(strike.delay)
            victims.strike(strike)
            victims.tally.took.append(clock.monotonic() - began)
            progress(victims.tally.kills)
            if victims.tally.kills // _PAUSE_EVERY > pauses:
                pauses += 1
                _let_work_end(plan, victims.tally.kills)
        for roles in (SENDERS, [Role.FLUSHER, Role.RECOVERY, Role.MAINTAINER], [Role.READER]):
            victims.stop(roles, PATIENCE)
        return victims.tally


def _let_work_end(plan: CrashPlan, kills: int) -> None:
    """A flush, and the first compaction: where kills come faster than these end, only beginnings would be tested."""
    with Timestore(plan.settings()) as timestore:
        before = _flushes(plan, timestore).published
        deadline = clock.monotonic() + _WORK_PATIENCE
        while clock.monotonic() < deadline:
            clock.sleep(0.1)
            has_flushed = _flushes(plan, timestore).published > before
            if has_flushed and not idleness(kills, maintained(plan.journals)):
                return


def _report(plan: CrashPlan, timestore: Timestore, tally: KillCounts, undone: list[str], started: float) -> CrashReport:
    done = maintained(plan.journals)
    stories = {process: read_story(plan.journals, process) for process in range(len(ROSTER))}
    promises = [text for table in published_tables(plan) for text in broken_promises(table, stories)]
    return CrashReport(
        plan=plan,
        kills=tally.phases,
        hosts_lost=tally.hosts_lost,
        verdict=judge(plan.home / "lake", stories),
        duplicates_refused=_total(stories, "duplicates"),
        refused=_total(stories, "refused"),
        flushes=_flushes(plan, timestore),
        maintained=done,
        faults=[*undone, *tally.faults, *sightings(plan.journals), *promises, *idleness(plan.kills, done)],
        verify_problems=verify(timestore.area, timestore.lake).sentences(),
        cost=_cost(plan, tally, started),
    )


def idleness(kills: int, done: Maintained) -> list[str]:
    """A role that does nothing proves nothing; but a short test may end before there are files to compact."""
    if kills < _SURELY_COMPACTED or done.compactions:
        return []
    return [f"nothing was compacted while {kills} processes were killed"]


def _cost(plan: CrashPlan, tally: KillCounts, started: float) -> Cost:
    quarter = max(1, len(tally.took) // 4)
    disk = sum(path.stat().st_size for path in plan.home.rglob("*") if path.is_file())
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    memory = max(resource.getrusage(one).ru_maxrss for one in who) * 1024
    pace = (_per_second(tally.took[:quarter]), _per_second(tally.took[-quarter:]))
    return Cost(clock.monotonic() - started, pace, disk, memory)


def _per_second(took: Sequence[float]) -> float:
    return round(len(took) / sum(took), 2) if took else 0.0


def _total(stories: dict[int, Story], name: str) -> int:
    return sum(getattr(story, name) for story in stories.values())


def _flushes(plan: CrashPlan, timestore: Timestore) -> FlushCounts:
    states = [flush.state for flush in timestore.area.ledger.flushes.history(most=_EVERYTHING)]
    return FlushCounts(states.count(FlushState.PUBLISHED), states.count(FlushState.ABORTED), settled(plan.journals))


def drain(timestore: Timestore, datasets: Iterable[str], run_id: str) -> list[str]:
    """Publish everything; returns the problems, empty = everything is published."""
    names = list(datasets)
    problems = [problem for name in names for problem in _empty(timestore, name, run_id)]
    left = {name: queued(timestore, name) for name in names}
    return problems + [
        f"{batches} batches of {name} could not be published" for name, batches in left.items() if batches
    ]


def queued(timestore: Timestore, dataset: str) -> int:
    """Batches that are staged and not published."""
    return timestore.status(dataset).backlog.queued.batches


def flush_once(timestore: Timestore, dataset: str, trigger: Trigger, run_id: str) -> list[str]:
    """One flush; returns its error as a problem, except `RetryLater`: another flush in flight, or a busy store."""
    try:
        timestore.flush(dataset, trigger, run_id)
    except RetryLater:
        clock.sleep(0.1)
    except TimestoreError as error:
        return [f"a flush of {dataset}: {error}"]
    return []


def _empty(timestore: Timestore, dataset: str, run_id: str) -> list[str]:
    """Flush while that makes progress: a long run leaves more than can be published within `PATIENCE`."""
    problems: list[str] = []
    deadline = clock.monotonic() + PATIENCE
    while (left := queued(timestore, dataset)) and clock.monotonic() < deadline:
        problems += flush_once(timestore, dataset, Trigger.MANUAL, run_id)
        if queued(timestore, dataset) < left:
            deadline = clock.monotonic() + PATIENCE
    return problems
