"""Any order of steps: the running totals equal a recount, nothing is lost, counters never go back."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.staging.promises import batch
from timestore_pipeline import clock
from timestore_pipeline.model.batch import StagedBatch, Volume
from timestore_pipeline.model.flush import FlushRef, RetryReason, Trigger
from timestore_pipeline.staging.ledger import Ledger

KEYS = st.one_of(st.none(), st.sampled_from("abcdef"))


class LedgerMachine(RuleBasedStateMachine):
    """The model is what was promised: batch id -> rows; and which keys were ever used."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite", "shard-0")
        self.dataset_id = self.ledger.datasets.ensure("d").dataset_id
        self.accepted = Volume()
        self.segments = 0
        self.sequence = 0
        self.claim: FlushRef | None = None
        self.published = 0
        self.counted: dict[str, float] = {}
        self._open_segment()

    def _open_segment(self) -> None:
        self.segments += 1
        self.segment = f"s{self.segments}"
        self.sequence = 0
        self.ledger.segments.register(self.segment, self.dataset_id, "writer")

    @rule(keys=st.lists(KEYS, min_size=1, max_size=3, unique_by=lambda key: key or object()), rows=st.integers(0, 9))
    def stage(self, keys: list[str | None], rows: int) -> None:
        staged: list[StagedBatch] = []
        for key in keys:
            staged.append(batch(self.segment, self.sequence, rows=rows, key=key))
            self.sequence += 1
        known = self.ledger.batches.record(self.dataset_id, self.segment, staged)
        for one in staged:
            if one.idempotency_key not in known:
                self.accepted += Volume(1, one.rows, one.bytes)

    @rule()
    def seal(self) -> None:
        self.ledger.segments.mark_sealed(self.segment)
        self._open_segment()

    @precondition(lambda self: self.claim is None)
    @rule()
    def take(self) -> None:
        self.claim = self.ledger.flushes.claim("d", Trigger.ROWS, "run", "flusher")

    @precondition(lambda self: self.claim is not None)
    @rule()
    def export(self) -> None:
        assert self.claim is not None
        self.ledger.flushes.record_export(self.claim, [], [])

    @precondition(lambda self: self.claim is not None)
    @rule()
    def publish(self) -> None:
        assert self.claim is not None
        self.ledger.flushes.record_export(self.claim, [], [])
        assert self.ledger.flushes.finalize(self.claim, 1)
        assert not self.ledger.flushes.finalize(self.claim, 1)
        self.claim = None

    @precondition(lambda self: self.claim is not None)
    @rule()
    def abort(self) -> None:
        assert self.claim is not None
        seen = self.ledger.flushes.get(self.claim).state
        assert self.ledger.flushes.abort(self.claim, seen, "x", RetryReason.ERROR)
        assert not self.ledger.flushes.abort(self.claim, seen, "x", RetryReason.ERROR)
        self.claim = None

    @rule()
    def prune(self) -> None:
        self.published += self.ledger.batches.prune_published("d", clock.now() + timedelta(seconds=1))

    @rule()
    def clean(self) -> None:
        for segment in self.ledger.segments.drained("d"):
            assert self.ledger.batches.promised(segment.segment_id) == {}
            self.ledger.segments.forget([segment.segment_id])

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite", "shard-0")

    @invariant()
    def totals_equal_a_recount(self) -> None:
        kept = self._kept()
        counted = self.ledger.database.rows(
            "SELECT state, count(*) AS batches, sum(rows) AS rows, sum(bytes) AS bytes FROM batches GROUP BY state"
        )
        recount = {row["state"]: Volume(row["batches"], row["rows"], row["bytes"]) for row in counted}
        for state in ("pending", "in_flight"):
            assert kept.get(state, Volume()) == recount.get(state, Volume())
        assert kept.get("published", Volume()).batches == recount.get("published", Volume()).batches + self.published

    @invariant()
    def nothing_accepted_is_lost(self) -> None:
        kept = self._kept()
        states = (kept.get(state, Volume()) for state in ("pending", "in_flight", "published"))
        assert kept.get("accepted", Volume()) == self.accepted == sum(states, Volume())

    @invariant()
    def counters_never_go_back(self) -> None:
        now = {f"{c.series}{sorted(c.labels.items())}": c.value for c in self.ledger.counters.all()}
        assert all(now[name] >= value for name, value in self.counted.items())
        self.counted = now

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    def _kept(self) -> dict[str, Volume]:
        return dict(self.ledger.batches.backlogs("d")[0].volumes)


LedgerMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25)
TestLedger = LedgerMachine.TestCase
