"""The crash matrix: every step, failing and dying, before, during and after; what each case must come to.

After the fault the world goes on: in-doubt batches are sent again under their keys, the next flush runs. Then every row
of every batch is in the lake exactly once, the audit finds nothing, and no journal, segment, claim or stray file is
left over.
"""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa

from tests.crash import aside, producers, scenarios
from tests.crash.kernel import Call, Judge, Verdict, Watch, watching
from tests.crash.steps import Step
from tests.crash.victims import Fault, victim
from tests.flush.conftest import published
from tests.services.forked import FORKED
from timestore_pipeline import StagingManager
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.wiring import Timestore, rebuild_if_lost

KINDS = ("die", "fail")
_TRIES = 3  # flushes that a poisonous batch may fail
_STATUS_LOST = 255  # as `multiprocessing` has it
_PATIENCE = 200  # seconds for a victim that should take one

# name -> what the victim does in it, and how it came about: scenarios and faults, one after the other
SITUATIONS: dict[str, tuple[str, Sequence[tuple[str, Fault | None]]]] = {
    "nothing": ("life", ()),
    "dead producer": ("flush", [("stage and die", None)]),
    "recovered producer": ("recover", [("stage and die", None)]),
    "closed journal": ("flush", [("stage and close", None)]),
    "recovered journal": ("recover", [("stage and close", None)]),
    "segment": ("flush", [("stage and roll up", None)]),
    "many journals": ("stage in many journals", ()),
    "dead in a roll-up": ("flush", [("stage and die", None), ("recover", ("write segment", "after", "die"))]),
    "many partitions": ("flush", [("stage by the hour", None)]),
    "claimed elsewhere": ("carry on", [("life", ("claim", "after", "die"))]),
    "dead after claim": ("recover", [("life", ("claim", "after", "die"))]),
    "dead after export": ("recover", [("life", ("record export", "after", "die"))]),
    "dead after commit": ("recover", [("life", ("publish", "after", "die"))]),
    "finalized segment": ("recover", [("stage and roll up", None), ("flush", ("finalize", "after", "die"))]),
    "dead after finalize": ("flush", [("life", ("finalize", "after", "die"))]),
    "dead in recovery": (
        "recover",
        [("life", ("record export", "after", "die")), ("recover", ("burn", "after", "die"))],
    ),
    "rotten segment": ("flush", [("stage rotten", None)]),
    "poisonous batch": ("flush", [("stage poisonous", None)]),
    "rotten record": ("flush", [("stage a rotten record", None)]),
    "recovered rot": ("recover", [("stage a rotten record", None)]),
    "set aside": ("requeue", [("stage rotten", None), ("flush and die", None)]),
    "record set aside": ("requeue", [("stage a rotten record", None), ("flush and die", None)]),
    "given up": ("discard", [("stage rotten", None), ("flush and die", None)]),
    "record given up": ("discard", [("stage a rotten record", None), ("flush and die", None)]),
    "lost ledger": ("rebuild", [("lose the ledger", None)]),
    "no ledger": ("rebuild", [("lose all of the ledger", None)]),
    "fragmented": ("maintain", [("publish bit by bit", None)]),
    "to be retyped": ("retype", [("publish and stage", None)]),
    "dead in a rebuild": ("rebuild", [("lose the ledger", None), ("rebuild", ("build anew", "after", "die"))]),
}
# what an operator does at the end with what is in quarantine, where anything is
DECISIONS = {
    "rotten segment": "requeue", "poisonous batch": "requeue", "set aside": "requeue", "given up": "discard",
    "rotten record": "requeue", "recovered rot": "requeue", "record set aside": "requeue", "record given up": "discard",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What became of one fault."""

    fault: Fault
    fired: bool
    problems: Sequence[str]
    errors: Sequence[str] = ()  # what callers in the victim were told


def run_case(step: Step, moment: str, kind: str) -> Case:
    """One cell of the matrix. `moment` is one of the step's."""
    fault = (step.name, moment, kind)
    with scratch() as folder:
        home = begin(folder, step.situation)
        scenario = SITUATIONS[step.situation][0]
        if moment == "during":
            code, watch = run_watched(home, scenario, _nth_in(step, (changes_in(step) + 1) // 2, kind))
            fired = watch.fired is not None
        else:
            code = run_victim(home, scenario, fault, None)
            fired = code == -signal.SIGKILL or bool(outcome(home)["fired"])
        return Case(fault, fired, [*ending(home, code, kind), *judge(home, step.situation)], outcome(home)["errors"])


@cache
def changes_in(step: Step) -> int:
    """How many system calls inside the step change a file."""
    return sum(step.name in call.steps for call in undisturbed(step.situation))


@cache
def undisturbed(situation: str) -> Sequence[Call]:
    """The file-changing system calls of a victim that nothing happens to."""
    with scratch() as folder:
        home = begin(folder, situation)
        code, watch = run_watched(home, SITUATIONS[situation][0], lambda _: None)
        assert [*ending(home, code, "fail"), *judge(home, situation)] == []
        return watch.calls


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: a process that dies takes no page with it, and the disk stays quiet."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="crash-", dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def begin(folder: Path, situation: str) -> Path:
    """A home in which that has happened."""
    home = folder / "home"
    home.mkdir()
    for scenario, fault in SITUATIONS[situation][1]:
        assert run_victim(home, scenario, fault, None) == -signal.SIGKILL
    return home


def run_watched(home: Path, scenario: str, verdict: Judge) -> tuple[int, Watch]:
    with watching(home, verdict) as watch:
        code = run_victim(home, scenario, None, watch.address)
    return code, watch


def run_victim(home: Path, scenario: str, fault: Fault | None, address: str | None) -> int:
    """Its exit code; a negative one is the signal that ended it."""
    process = FORKED.Process(target=victim, args=(home, scenario, fault, address))
    process.start()
    process.join(_PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"the victim hangs: {scenario}, {fault}")
    if process.exitcode != _STATUS_LOST:
        return process.exitcode
    # Rarely the fork server cannot say how a child ended; one that was not killed has written its outcome.
    return 0 if producers.notes(home, "outcome").exists() else -signal.SIGKILL


def _nth_in(step: Step, position: int, kind: str) -> Judge:
    seen = 0

    def verdict(call: Call) -> Verdict:
        nonlocal seen
        seen += step.name in call.steps
        return kind if step.name in call.steps and seen == position else None

    return verdict


def outcome(home: Path) -> dict[str, list[str]]:
    """What the victim wrote at its end; one that was killed wrote nothing."""
    path = producers.notes(home, "outcome")
    nothing: dict[str, list[str]] = {"fired": [], "errors": []}
    return json.loads(path.read_text()) if path.exists() else nothing


def ending(home: Path, code: int, kind: str) -> list[str]:
    """A victim that meets an error tells its caller a typed one and gets everything done all the same."""
    if kind == "die":
        return [] if code == -signal.SIGKILL else [f"ended with {code} instead of being killed"]
    if code != 0:
        return [f"ended with {code}"]
    return [error for error in outcome(home)["errors"] if error.startswith("UNTYPED")]


def judge(home: Path, situation: str) -> list[str]:
    """Go on from here as the world would, then compare what was sent with what is there."""
    rebuild_if_lost(producers.settings(home))
    resend(home)
    decision = DECISIONS.get(situation)
    with Timestore(producers.settings(home)) as store:
        flush_everything(store, tries=0 if decision is None else _TRIES)
        wrong = [] if decision is None else aside.decide(store, decision)
        flush_everything(store)
        recover(store.area, store.lake)
        if SITUATIONS[situation][0] == "retype":
            scenarios.retyped(store)
            wrong += _wrong_types(store)
        if SITUATIONS[situation][0] in ("maintain", "retype"):
            scenarios.maintained(store)
            wrong += _disused(store)
        return [*wrong, *_wrong_rows(store, home, decision == "discard"), *_wrong_books(store), *_left_over(store)]


def flush_everything(store: Timestore, tries: int = 0) -> None:
    """Until nothing is queued. tries: how many flushes may fail on the way, as they do before a batch is set aside."""
    failed = 0
    while store.area.backlog("d").queued.batches:
        try:
            store.flush("d", Trigger.MANUAL, "next")
        except TimestoreError:
            if (failed := failed + 1) > tries:
                raise


def resend(home: Path) -> None:
    """What a producer does after a restart: whatever it has no acknowledgement of, again, and one batch more."""
    acked = _numbers(producers.notes(home, "acks"))
    with StagingManager.open(producers.settings(home)) as staging:
        for number in sorted({*_numbers(producers.notes(home, "intents")), producers.BATCHES} - acked):
            producers.stage(staging, number)


def _wrong_rows(store: Timestore, home: Path, bad_is_given_up: bool) -> list[str]:
    sent = _numbers(producers.notes(home, "intents")) | {producers.BATCHES}
    expected = producers.rows_of(sent - {aside.BAD} if bad_is_given_up else sent)
    found = published(store)
    if found == expected:
        return []
    lost, doubled = sorted(set(expected) - set(found)), len(found) - len(set(found))
    return [f"{len(lost)} rows lost, {doubled} doubled, {len(set(found) - set(expected))} from nowhere"]


def _wrong_books(store: Timestore) -> list[str]:
    report = verify(store.area, store.lake)
    return [f"{finding.code}: {finding.message}" for audit in report.datasets for finding in audit.problems]


def _left_over(store: Timestore) -> list[str]:
    area = store.area
    segments = [path.name for path in area.directory.segment_folder("d").glob("*")]
    rows = [segment.segment_id for segment in area.ledger.segments.of_dataset("d")]
    journals = [path.name for path in area.directory.journals.iterdir()]
    journal_rows = [journal.journal_id for journal in area.ledger.journals.all()]
    claims = [str(flush.epoch) for flush in area.ledger.flushes.in_flight()]
    spool = [path.name for path in area.directory.spool.iterdir()]
    quarantined = [path.name for path in area.directory.quarantined_segments("d")]
    rebuilding = [path.name for path in filter(None, [area.directory.rebuilding()])]
    found = {"segment files": segments, "segment rows": rows, "claims": claims, "spool": spool}
    found |= {"journal files": journals, "journal rows": journal_rows}
    found |= {"quarantined files": quarantined, "rebuilds": rebuilding}
    return [f"{what} left over: {names}" for what, names in found.items() if names]


def _wrong_types(store: Timestore) -> list[str]:
    record = store.area.ledger.datasets.get("d")
    found = {"table": store.lake.table("d").schema(), "ledger": record.schema or pa.schema([])}
    return [
        f"n is {schema.field('n').type} in the {name}"
        for name, schema in found.items()
        if schema.field("n").type != pa.float64()
    ]


def _disused(store: Timestore) -> list[str]:
    table = store.lake.table("d")
    unseen = {file.path for file in table.stored_files()} - {file.path for file in table.live_files()}
    return [f"files left over in the table's folder: {sorted(unseen)}"] if unseen else []


def _numbers(path: Path) -> set[int]:
    return {int(line) for line in path.read_text().split()} if path.exists() else set()
