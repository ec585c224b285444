"""Any order of steps and crashes on the real library: ledger, files and Delta log agree with a simple model.

The library runs in a process of its own, which is killed for a crash, at rest or in the middle of a step. The model is
a list of batches per dataset; after every step the evidence is read without the library.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.modelled.evidence import gather

ROOT = Path(__file__).parents[1]
DATASETS = st.sampled_from(["d", "e"])
KEYS = st.one_of(st.none(), st.sampled_from("abcd"))
STAGING_POINTS = ("begin journal", "append", "promise")
FLUSH_POINTS = (
    *("write segment", "move", "forget journals"),
    *("claim", "file", "record export", "delta commit", "finalize", "unlink", "burn", "abort"),
)
MOMENTS = st.sampled_from(["before", "after"])
KILLED = {"died": -9}
COUNTED = {"flush", "retried", "quarantined", "requeued", "discarded"}


@dataclass(slots=True)
class Batch:
    first: int
    count: int
    key: str | None
    batch_id: str | None  # None = its producer died before it was told
    claimed: bool = False
    given_up: str = ""  # quarantined or discarded: an operator has it
    committed: bool = False  # in the Delta log
    published: bool = False  # also in the ledger


@dataclass(slots=True)
class Model:
    """One dataset."""

    batches: list[Batch] = field(default_factory=list)
    epoch: int | None = None  # of the claim in flight
    step: str = ""
    mine: bool = False  # the claim is this life's
    version: int | None = None
    counted: Counter[str] = field(default_factory=Counter)  # batches, as the metrics have them

    @property
    def pending(self) -> list[Batch]:
        return [batch for batch in self.batches if not (batch.claimed or batch.published or batch.given_up)]

    @property
    def in_flight(self) -> list[Batch]:
        return [batch for batch in self.batches if batch.claimed]

    def known(self, key: str | None) -> Batch | None:
        return next((batch for batch in self.batches if key is not None and batch.key == key), None)

    def settle(self) -> None:
        """What becomes of a claim whose process is gone."""
        if not self.mine:
            self.end()

    def end(self) -> None:
        for batch in self.in_flight:
            self.counted["flush" if batch.committed else "retried"] += 1
            batch.claimed, batch.published = False, batch.committed
        self.epoch, self.mine = None, False

    def commit(self) -> None:
        for batch in self.in_flight:
            batch.committed = True

    def claim(self, epoch: int) -> None:
        for batch in self.pending:
            batch.claimed = True
        self.epoch, self.step, self.mine = epoch, "claimed", True


Rule = Callable[[Callable[..., None]], Callable[..., None]]


def with_claim(step: str) -> Rule:
    return precondition(lambda self: any(m.mine and m.step == step for m in self.models.values()))


with_batches = precondition(lambda self: any(model.batches for model in self.models.values()))


class LibraryMachine(RuleBasedStateMachine):
    process: subprocess.Popen[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.home = Path(self.folder.name)
        self.models = {"d": Model(), "e": Model()}
        self.next = 0

    @initialize()
    def begin(self) -> None:
        self.open()

    # --- producers

    @rule(dataset=DATASETS, key=KEYS, count=st.integers(1, 4), level=st.integers(0, 2))
    def enqueue(self, dataset: str, key: str | None, count: int, level: int) -> None:
        first = self.new_rows(count)
        self.told_of_enqueue(dataset, key, first, count, self.do("enqueue", dataset, key, first, count, level))

    @precondition(lambda self: any(b.key for model in self.models.values() for b in model.batches))
    @rule(data=st.data())
    def enqueue_again(self, data: st.DataObject) -> None:
        """As a producer that was not told: whatever has become of the batch, its key is known."""
        dataset = self.some(data, lambda model: any(batch.key for batch in model.batches))
        batch = data.draw(st.sampled_from([batch for batch in self.models[dataset].batches if batch.key]))
        answer = self.do("enqueue", dataset, batch.key, self.new_rows(batch.count), batch.count, 0)
        self.told_of_enqueue(dataset, batch.key, self.next - batch.count, batch.count, answer)

    @with_batches
    @rule(data=st.data())
    def enqueue_another_type(self, data: st.DataObject) -> None:
        dataset = self.some(data, lambda model: bool(model.batches))
        assert self.do("enqueue_text", dataset)["error"] in {"schema_conflict", "guardrail_exceeded"}

    @rule(dataset=DATASETS, key=KEYS, count=st.integers(1, 4), point=st.sampled_from(STAGING_POINTS), at=MOMENTS)
    def die_in_enqueue(self, dataset: str, key: str | None, count: int, point: str, at: str) -> None:
        first = self.new_rows(count)
        self.do("arm", point, at)
        answer = self.do("enqueue", dataset, key, first, count, 0)
        if answer != KILLED:
            self.told_of_enqueue(dataset, key, first, count, answer)
            self.kill()
        elif (point, at) == ("promise", "after"):
            self.models[dataset].batches.append(Batch(first, count, key, None))
        self.reborn()

    # --- flushes, phase by phase and whole

    @with_batches
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        dataset = self.some(data, lambda model: bool(model.batches))
        model, answer = self.models[dataset], self.do("claim", dataset)
        if model.mine:
            assert answer["error"] == "flush_in_flight"
            return
        model.settle()
        assert (answer["result"] is not None) == bool(model.pending), answer
        if model.pending:
            model.claim(answer["result"])

    @with_claim("claimed")
    @rule(data=st.data())
    def export(self, data: st.DataObject) -> None:
        dataset = self.some(data, lambda model: model.mine and model.step == "claimed")
        model = self.models[dataset]
        assert self.do("export", dataset, model.epoch) == {"result": None}
        model.step = "exported"

    @with_claim("exported")
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        dataset = self.some(data, lambda model: model.mine and model.step == "exported")
        model = self.models[dataset]
        model.version = self.do("publish", dataset, model.epoch)["result"]
        assert model.version is not None
        model.step = "committed"
        model.commit()

    @with_claim("claimed")
    @rule(data=st.data())
    def publish_what_is_not_exported(self, data: st.DataObject) -> None:
        dataset = self.some(data, lambda model: model.mine and model.step == "claimed")
        model = self.models[dataset]
        assert self.do("publish", dataset, model.epoch)["error"] == "fenced"
        model.end()

    @with_claim("committed")
    @rule(data=st.data())
    def finalize(self, data: st.DataObject) -> None:
        dataset = self.some(data, lambda model: model.mine and model.step == "committed")
        model = self.models[dataset]
        assert self.do("finalize", dataset, model.epoch, model.version) == {"result": "published"}
        model.end()

    @with_batches
    @rule(data=st.data())
    def flush(self, data: st.DataObject) -> None:
        dataset = self.some(data, lambda model: bool(model.batches))
        self.told_of_flush(dataset, self.do("flush", dataset))

    @with_batches
    @rule(data=st.data())
    def flush_on_a_full_disk(self, data: st.DataObject) -> None:
        dataset = self.some(data, lambda model: bool(model.batches))
        model, answer = self.models[dataset], self.do("flush_on_a_full_disk", dataset)
        if model.mine:
            assert answer["error"] == "flush_in_flight"
            return
        model.settle()
        assert answer.get("error") == ("disk_full" if model.pending else None), answer
        model.claim(0)
        model.end()

    @with_batches
    @rule(data=st.data(), point=st.sampled_from(FLUSH_POINTS), at=MOMENTS)
    def die_in_flush(self, data: st.DataObject, point: str, at: str) -> None:
        dataset = self.some(data, lambda model: bool(model.batches))
        self.do("arm", point, at)
        answer = self.do("flush", dataset)
        if answer == KILLED:
            self.look_what_became_of(dataset)
        else:
            self.told_of_flush(dataset, answer)
            self.kill()
        self.reborn()

    # --- operators

    @rule()
    def recover(self) -> None:
        left = [model for model in self.models.values() if model.epoch is not None and not model.mine]
        assert self.do("recover") == {"result": len(left)}
        for model in left:
            model.settle()

    @with_batches
    @rule(data=st.data(), decision=st.sampled_from(["requeue", "discard"]))
    def lose_segments(self, data: st.DataObject, decision: str) -> None:
        """Every segment file of a dataset at rest is gone for a while: set aside, then given back or given up."""
        dataset = self.some(data, lambda model: bool(model.batches))
        self.enqueue_two(dataset)
        self.come_to_rest()
        self.lose("lose_segments", dataset, decision)

    @with_batches
    @rule(data=st.data(), decision=st.sampled_from(["requeue", "discard"]))
    def lose_journals(self, data: st.DataObject, decision: str) -> None:
        """Every journal is gone for a while, and what was staged last lies in one."""
        dataset = self.some(data, lambda model: bool(model.batches))
        self.come_to_rest()
        self.told_of_flush(dataset, self.do("flush", dataset))
        self.enqueue_two(dataset)
        self.lose("lose_journals", dataset, decision)

    def enqueue_two(self, dataset: str) -> None:
        """One batch alone would not show that another is forgotten."""
        for _ in range(2):
            self.enqueue(dataset, None, 2, 0)

    def come_to_rest(self) -> None:
        """All that is pending lies in segments."""
        self.kill()
        self.reborn()
        assert self.do("recover")["result"] == sum(other.epoch is not None for other in self.models.values())
        for other in self.models.values():
            other.settle()

    def lose(self, order: str, dataset: str, decision: str) -> None:
        model = self.models[dataset]
        lost = model.pending
        assert self.do(order, dataset)["result"] == bool(lost)
        for batch in lost:
            batch.given_up = "quarantined"
        model.counted["quarantined"] += len(lost)
        self.the_evidence_agrees()
        assert self.do("remove_dataset", dataset).get("error") == ("dataset_in_use" if lost else None)
        assert self.do("decide", dataset, decision)["result"] == bool(lost)
        model.counted["requeued" if decision == "requeue" else "discarded"] += len(lost)
        for batch in lost:
            batch.given_up = "" if decision == "requeue" else "discarded"

    @with_batches
    @rule(data=st.data())
    def remove_dataset(self, data: st.DataObject) -> None:
        """Refused while anything of it is unsettled; its books stay, and the next batch brings it back."""
        dataset = self.some(data, lambda model: bool(model.batches))
        model = self.models[dataset]
        in_use = bool(model.pending or model.in_flight)
        assert self.do("remove_dataset", dataset).get("error") == ("dataset_in_use" if in_use else None)

    @with_batches
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        dataset = self.some(data, lambda model: bool(model.batches))
        self.do("pause", dataset, True)
        due, reason = self.do("is_due", dataset)["result"]
        model = self.models[dataset]
        assert not due or (model.epoch is not None and not model.mine), (
            reason
        )  # only a dead claim is settled in a pause
        self.do("pause", dataset, False)

    @rule()
    def crash(self) -> None:
        self.kill()
        self.reborn()

    @rule(hard_limit=st.sampled_from([0, 0, 50_000]))
    def reopen(self, hard_limit: int) -> None:
        """With a limit of 50 kB, which one segment exceeds: from its roll-up on, all is refused until it is flushed."""
        assert self.do("close") == {"result": None}
        self.kill()
        self.reborn(hard_limit)

    # --- what must hold after every step

    @invariant()
    def the_evidence_agrees(self) -> None:
        for dataset, model in self.models.items():
            if not (self.home / "staging" / "ledger.sqlite").exists():
                continue
            evidence = gather(self.home, dataset)
            assert evidence.published == rows_of([batch for batch in model.batches if batch.committed])
            assert evidence.counted == self.expected(model)
            assert {s: v for s, v in evidence.kept.items() if s != "accepted"} == evidence.counted
            assert evidence.kept.get("accepted", (0, 0)) == volume(model.batches)
            assert evidence.promised_segments <= evidence.segment_files <= evidence.known_segments
            assert evidence.promised_journals <= evidence.journal_files <= evidence.known_journals
            assert evidence.epochs == ([] if model.epoch is None else [model.epoch])
            ours = {name: value for name, value in evidence.counters.items() if name in COUNTED}
            assert ours == {name: value for name, value in model.counted.items() if value}

    def expected(self, model: Model) -> dict[str, tuple[int, int]]:
        published = [batch for batch in model.batches if batch.published]
        states = {"pending": model.pending, "in_flight": model.in_flight, "published": published}
        states |= {state: [b for b in model.batches if b.given_up == state] for state in ("quarantined", "discarded")}
        return {state: volume(batches) for state, batches in states.items() if batches}

    def teardown(self) -> None:
        self.kill()
        self.folder.cleanup()

    # --- the model's side of what is more than one line

    def told_of_enqueue(self, dataset: str, key: str | None, first: int, count: int, answer: dict[str, Any]) -> None:
        model = self.models[dataset]
        known = model.known(key)
        if answer.get("error") == "guardrail_exceeded":
            assert self.hard_limit
        elif known is None:
            batch_id, rows, duplicate = answer["result"]
            assert (rows, duplicate) == (count, False)
            model.batches.append(Batch(first, count, key, batch_id))
        elif known.count == count:
            batch_id, _, duplicate = answer["result"]
            assert duplicate
            assert known.batch_id in (None, batch_id)
            known.batch_id = batch_id
        else:
            assert answer["error"] == "idempotency_conflict"

    def told_of_flush(self, dataset: str, answer: dict[str, Any]) -> None:
        model = self.models[dataset]
        if model.mine:
            assert answer["error"] == "flush_in_flight"
            return
        model.settle()
        assert answer == {"result": "published" if model.pending else None}
        model.claim(0)
        model.commit()
        model.end()

    def look_what_became_of(self, dataset: str) -> None:
        """A flush died somewhere: all or nothing of what it held is in the log, and the ledger knows no more."""
        model, evidence = self.models[dataset], gather(self.home, dataset)
        states = set(evidence.counted)
        if model.epoch is not None and evidence.epochs != [model.epoch]:
            model.settle()  # it got past what an earlier life had left
        if model.epoch is None and ("in_flight" in states or self.expected(model) != evidence.counted):
            model.claim(evidence.epochs[0] if evidence.epochs else 0)  # and past its own claim
        if len(evidence.published) > sum(batch.count for batch in model.batches if batch.committed):
            model.commit()
        if not evidence.epochs:
            model.end()

    # --- the process

    def open(self, hard_limit: int = 0) -> None:
        self.hard_limit = hard_limit
        self.order("open", str(self.home), hard_limit)

    def reborn(self, hard_limit: int = 0) -> None:
        for model in self.models.values():
            model.mine = False
        self.open(hard_limit)

    def kill(self) -> None:
        assert self.order("crash") == KILLED

    def do(self, *order: Any) -> Any:
        return self.order("do", list(order))

    def order(self, *order: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def some(self, data: st.DataObject, fits: Any) -> str:
        return data.draw(st.sampled_from([name for name, model in self.models.items() if fits(model)]))

    def new_rows(self, count: int) -> int:
        self.next += count
        return self.next - count


def volume(batches: list[Batch]) -> tuple[int, int]:
    return len(batches), sum(batch.count for batch in batches)


def rows_of(batches: list[Batch]) -> list[int]:
    return sorted(number for batch in batches for number in range(batch.first, batch.first + batch.count))


@pytest.fixture(scope="module", autouse=True)
def library() -> Iterator[None]:
    command = [sys.executable, "-m", "tests.modelled.library"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        LibraryMachine.process = process
        yield
        assert process.stdin is not None
        process.stdin.close()


# A tenth of what the profile gives a plain property: every example opens the library several times.
EXAMPLES = settings().max_examples // 10
LibraryMachine.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=20)
TestLibrary = pytest.mark.slow(LibraryMachine.TestCase)
