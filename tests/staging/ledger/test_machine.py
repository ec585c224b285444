"""Any order of steps: the running totals equal a recount, nothing is lost, counters never go back."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.staging.promises import batch
from timestore_pipeline.errors import Fenced
from timestore_pipeline.model.batch import Damage, Incident, IncidentKind, IncidentReason, StagedBatch, Volume
from timestore_pipeline.model.flush import FlushRef, FlushState, RetryReason, Trigger
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.batches import Promise
from timestore_pipeline.staging.ledger.schema_changes import SchemaMoved
from timestore_pipeline.system import clock

_STATES = ("pending", "in_flight", "published", "quarantined", "discarded")
KEYS = st.one_of(st.none(), st.sampled_from("abcdef"))


class LedgerMachine(RuleBasedStateMachine):
    """The model is what was promised: batch id -> rows; and which keys were ever used."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite", "shard-0")
        self.dataset_id = self.ledger.datasets.ensure("d").dataset_id
        self.accepted = Volume()
        self.files = 0
        self.offset = 0
        self.claim: FlushRef | None = None
        self.published = 0
        self.counted: dict[str, float] = {}
        self._open_journal()

    def _open_journal(self) -> None:
        self.journal = self._new("j")
        self.offset = 0
        self.ledger.journals.register(self.journal, "writer")

    def _new(self, kind: str) -> str:
        self.files += 1
        return f"{kind}{self.files}"

    def _new_segment(self) -> str:
        segment_id = self._new("s")
        self.ledger.segments.register(segment_id, self.dataset_id, "flusher")
        return segment_id

    def _waiting(self) -> list[str]:
        places = self.ledger.journals.waiting("d")
        return sorted(one.batch_id for place in places for one in place.batches)

    @rule(keys=st.lists(KEYS, min_size=1, max_size=3, unique_by=lambda key: key or object()), rows=st.integers(0, 9))
    def stage(self, keys: list[str | None], rows: int) -> None:
        staged: list[StagedBatch] = []
        for key in keys:
            staged.append(batch(self.journal, self.offset, rows=rows, key=key))
            self.offset += 1
        record = Promise(self.dataset_id, staged[0].sequence, staged)
        [known] = self.ledger.batches.promise(self.journal, [record])
        assert not isinstance(known, SchemaMoved)
        for one in staged:
            if one.idempotency_key not in known:
                self.accepted += Volume(1, one.rows, one.bytes)

    @rule()
    def begin_another_journal(self) -> None:
        self.ledger.journals.close(self.journal)
        self._open_journal()

    @rule(data=st.data())
    def roll_up(self, data: st.DataObject) -> None:
        """Two at once: each batch is moved by one of them."""
        waiting = self._waiting()
        some = data.draw(st.lists(st.sampled_from(waiting), unique=True) if waiting else st.just([]))
        first, second = self._new_segment(), self._new_segment()
        moved = self.ledger.journals.move(first, {name: number for number, name in enumerate(some)})
        left = self.ledger.journals.move(second, {name: number for number, name in enumerate(waiting)})
        assert (moved, left) == (len(some), len(waiting) - len(some))
        assert self._waiting() == []
        self.ledger.segments.forget([one.segment_id for one in self.ledger.segments.building("d")])

    @rule(data=st.data())
    def set_records_aside(self, data: st.DataObject) -> None:
        waiting = self._waiting()
        some = data.draw(st.lists(st.sampled_from(waiting), unique=True) if waiting else st.just([]))
        culprits = dict.fromkeys(some, "rot")
        kind, reason = IncidentKind.RECORD, IncidentReason.DAMAGED
        assert len(self.ledger.quarantine.journaled("d", kind, culprits, reason)) == bool(some)
        assert self.ledger.quarantine.journaled("d", kind, culprits, reason) == [], "once"

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

    @precondition(lambda self: self.claim is not None)
    @rule(data=st.data())
    def set_batches_aside(self, data: st.DataObject) -> None:
        assert self.claim is not None
        held = sorted(self.ledger.batches.of_flush(self.claim).values())
        some = data.draw(st.lists(st.sampled_from(held), unique=True) if held else st.just([]))
        culprits = dict.fromkeys(some, "poison")
        if self.ledger.flushes.get(self.claim).state is not FlushState.CLAIMED:
            with pytest.raises(Fenced):
                self.ledger.quarantine.batches(self.claim, culprits, "flusher")
            return
        assert len(self.ledger.quarantine.batches(self.claim, culprits, "flusher")) == len(some)
        assert self.ledger.quarantine.batches(self.claim, culprits, "flusher") == [], "once"
        if self.ledger.flushes.end_if_empty(self.claim, "all of it was set aside"):
            self.claim = None

    @rule(data=st.data())
    def set_a_segment_aside(self, data: st.DataObject) -> None:
        """Some of what it owes is saved into a copy."""
        segments = sorted(one.segment_id for one in self.ledger.segments.of_dataset("d"))
        if not segments:
            return
        segment_id = data.draw(st.sampled_from(segments))
        owed = self.ledger.batches.owed(segment_id)
        saved = data.draw(st.lists(st.sampled_from(owed), unique=True) if owed else st.just([]))
        copy = self._new_segment()
        damage = Damage(IncidentReason.DAMAGED, "rot", copy, {one.sequence: one.rows for one in saved})
        try:
            self.ledger.quarantine.segment(segment_id, damage, "flusher")
        except Fenced:
            assert self.ledger.batches.in_segment(copy) == 0
            self.ledger.segments.forget([copy])
            return
        with pytest.raises(Fenced):
            self.ledger.quarantine.segment(segment_id, damage, "flusher")
        assert {one.batch_id for one in self.ledger.batches.owed(copy)} == {one.batch_id for one in saved}
        if self.claim is not None and self.ledger.flushes.end_if_empty(self.claim, "all of it was set aside"):
            self.claim = None

    @rule(data=st.data(), wanted=st.sampled_from(["requeue", "discard"]))
    def decide(self, data: st.DataObject, wanted: str) -> None:
        """Twice changes nothing, and the opposite afterwards is refused."""
        incidents = self.ledger.incidents.all("d")
        if not incidents:
            return
        incident = data.draw(st.sampled_from(incidents)).incident_id
        opposite = {"requeue": "discard", "discard": "requeue"}[wanted]
        assert getattr(self.ledger.incidents, wanted)(incident)
        assert not getattr(self.ledger.incidents, wanted)(incident)
        with pytest.raises(Fenced):
            getattr(self.ledger.incidents, opposite)(incident)

    @rule()
    def free_what_was_given_up(self) -> None:
        self.ledger.segments.forget(self.ledger.incidents.given_up("d"))

    @rule()
    def fold(self) -> None:
        """Keys stay known, by the same batches."""
        before = self._known()
        self.ledger.published.fold("d")
        assert self._known() == before

    @rule()
    def fold_flushes(self) -> None:
        """What was published stays counted."""
        before = self.ledger.audit.totals("d")
        self.ledger.flush_stretches.fold("d", clock.now() + timedelta(seconds=1))
        assert self.ledger.audit.totals("d") == before

    def _known(self) -> dict[str, str]:
        return {key: one.batch_id for key, one in self.ledger.batches.known_keys(self.dataset_id, "abcdef").items()}

    @rule()
    def prune(self) -> None:
        self.published += self.ledger.published.prune("d", clock.now() + timedelta(seconds=1))

    @rule()
    def clean(self) -> None:
        for segment in self.ledger.segments.drained("d"):
            assert self.ledger.batches.promised(segment.segment_id) == {}
            self.ledger.segments.forget([segment.segment_id])
        idle = [journal.journal_id for journal in self.ledger.journals.idle() if journal.closed]
        self.ledger.journals.forget(idle)

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite", "shard-0")

    @invariant()
    def totals_equal_a_recount(self) -> None:
        kept = self._kept()
        counted = self.ledger.database.rows(
            "SELECT state, sum(batches) AS batches, sum(rows) AS rows, sum(bytes) AS bytes FROM ("
            "SELECT state, 1 AS batches, rows, bytes FROM batches UNION ALL"
            " SELECT 'published', last_number - first_number + 1, rows, bytes FROM published_runs) GROUP BY state"
        )
        recount = {row["state"]: Volume(row["batches"], row["rows"], row["bytes"]) for row in counted}
        for state in ("pending", "in_flight", "quarantined"):
            assert kept.get(state, Volume()) == recount.get(state, Volume())
        assert kept.get("published", Volume()).batches == recount.get("published", Volume()).batches + self.published

    @invariant()
    def nothing_accepted_is_lost(self) -> None:
        kept = self._kept()
        states = (kept.get(state, Volume()) for state in _STATES)
        assert kept.get("accepted", Volume()) == self.accepted == sum(states, Volume())

    @invariant()
    def what_is_set_aside_hangs_on_an_open_incident(self) -> None:
        aside = self._kept().get("quarantined", Volume())
        assert aside == sum((incident.volume for incident in self._open_incidents()), Volume())

    @invariant()
    def whatever_is_owed_has_a_file(self) -> None:
        orphans = self.ledger.database.rows(
            "SELECT batch_id FROM batches LEFT JOIN segments USING (segment_id)"
            " LEFT JOIN journals ON journal_id = batches.segment_id"
            " WHERE batches.state IN ('pending', 'in_flight', 'quarantined')"
            " AND CASE WHEN record_offset IS NULL THEN segments.segment_id ELSE journal_id END IS NULL"
        )
        assert orphans == []

    @invariant()
    def a_flush_is_as_large_as_what_it_holds(self) -> None:
        if self.claim is not None:
            held = self.ledger.batches.of_flush(self.claim)
            assert self.ledger.flushes.get(self.claim).volume.batches == len(held)

    @invariant()
    def counters_never_go_back(self) -> None:
        now = {f"{c.series}{sorted(c.labels.items())}": c.value for c in self.ledger.counters.all()}
        assert all(now[name] >= value for name, value in self.counted.items())
        self.counted = now

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    def _open_incidents(self) -> list[Incident]:
        return self.ledger.incidents.all("d")

    def _kept(self) -> dict[str, Volume]:
        return dict(self.ledger.audit.totals("d").kept)


LedgerMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25)
TestLedger = LedgerMachine.TestCase
