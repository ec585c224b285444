"""Journals in the ledger, and batches on their way out of them."""

from __future__ import annotations

import pytest

from tests.staging.promises import batch, claimed, journal, promise, volumes
from timestore_pipeline.errors import Fenced
from timestore_pipeline.model.batch import IncidentKind, IncidentReason, Volume
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.journals import JournalRow, RecordPlace

TEN = Volume(1, 10, 80)


def building(ledger: Ledger, segment_id: str) -> None:
    ledger.segments.register(segment_id, ledger.datasets.ensure("d").dataset_id, "me")


def idle(ledger: Ledger) -> list[str]:
    return [row.journal_id for row in ledger.journals.idle()]


def test_a_journal_is_open_until_its_owner_closes_it(ledger: Ledger) -> None:
    ledger.journals.register("j", "me")
    assert ledger.journals.all() == [ledger.journals.find("j")] == [JournalRow("j", "me", closed=False)]
    ledger.journals.close("j")
    assert ledger.journals.find("j") == JournalRow("j", "me", closed=True)
    ledger.journals.forget(["j"])
    ledger.journals.forget([])
    assert ledger.journals.find("j") is None


def test_a_journal_that_was_found_is_closed_and_one_that_is_known_stays_as_it_is(ledger: Ledger) -> None:
    ledger.journals.register("known", "me")
    for name in ("known", "found", "found"):
        ledger.journals.list_found(name)
    assert ledger.journals.all() == [JournalRow("found", "", closed=True), JournalRow("known", "me", closed=False)]


def test_what_waits_is_told_record_by_record_in_the_order_of_the_files(ledger: Ledger) -> None:
    late, early, both = batch("late", 0), batch("early", 0), [batch("more", 1), batch("more", 2, key="k")]
    journal(ledger, "d", "j2", late, offset=50)
    journal(ledger, "d", "j1", *both, offset=300)
    journal(ledger, "d", "j1", early, offset=100)
    journal(ledger, "e", "j1", batch("other", 0), offset=200)
    places = [RecordPlace("j1", 100, [early]), RecordPlace("j1", 300, both), RecordPlace("j2", 50, [late])]
    assert ledger.journals.waiting("d") == places
    assert ledger.journals.batches_waiting("d") == {batch.batch_id for place in places for batch in place.batches}
    assert ledger.journals.datasets_waiting() == ["d", "e"]
    assert ledger.journals.datasets_waiting("j2") == ["d"]
    assert (ledger.journals.bytes_of("d"), ledger.journals.bytes_of("e"), ledger.journals.bytes_of("x")) == (320, 80, 0)
    assert {one.dataset: one.disk_bytes for one in ledger.backlogs.all()} == {"d": 320, "e": 80}


def test_a_claim_takes_what_lies_in_a_journal_and_no_roll_up_moves_it_meanwhile(ledger: Ledger) -> None:
    batches = [batch("b", 0), batch("b", 1)]
    journal(ledger, "d", "j", *batches)
    building(ledger, "s")
    ref = claimed(ledger)
    assert ledger.batches.of_flush(ref) == {("j", 0): "b-000000", ("j", 1): "b-000001"}
    assert [place.batches for place in ledger.journals.of_flush(ref)] == [batches]
    assert ledger.journals.waiting("d") == []
    assert ledger.journals.move("s", {one.batch_id: one.sequence for one in batches}) == 0
    assert ledger.journals.idle() == []
    assert ledger.journals.bytes_of("d") == 160


def test_a_claim_leaves_out_journals_that_cannot_be_read(ledger: Ledger) -> None:
    journal(ledger, "d", "j", batch("b", 0))
    journal(ledger, "d", "k", batch("c", 0))
    assert ledger.journals.holding("d") == ["j", "k"]
    ref = ledger.flushes.claim("d", Trigger.ROWS, "run", "me", without=["j"])
    assert ref is not None
    assert ledger.batches.of_flush(ref) == {("k", 0): "c-000000"}
    assert ledger.journals.holding("d") == ["j"]


def test_batches_move_once_and_can_be_claimed_then(ledger: Ledger) -> None:
    batches = [batch("b", 0), batch("b", 1)]
    journal(ledger, "d", "j", *batches)
    for segment_id in ("s", "t"):
        building(ledger, segment_id)
    assert ledger.journals.move("s", {batches[1].batch_id: 0, batches[0].batch_id: 1, "unknown": 2}) == 2
    assert ledger.journals.move("t", {batches[0].batch_id: 0, batches[1].batch_id: 1}) == 0
    assert [segment.segment_id for segment in ledger.segments.building("d")] == ["t"]
    assert ledger.journals.waiting("d") == []
    assert volumes(ledger)["pending"] == Volume(2, 20, 160)
    ref = claimed(ledger)
    assert ledger.batches.of_flush(ref) == {("s", 0): "b-000001", ("s", 1): "b-000000"}


def test_of_a_race_each_batch_moves_to_one_segment(ledger: Ledger) -> None:
    journal(ledger, "d", "j", batch("b", 0), batch("b", 1), batch("b", 2))
    for segment_id in ("s", "t"):
        building(ledger, segment_id)
    assert ledger.journals.move("s", {"b-000000": 0, "b-000001": 1}) == 2
    assert ledger.journals.move("t", {"b-000001": 0, "b-000002": 1}) == 1
    assert (ledger.batches.promised("s"), ledger.batches.promised("t")) == ({0: 10, 1: 10}, {1: 10})


def test_nothing_moves_to_a_segment_that_was_removed(ledger: Ledger) -> None:
    journal(ledger, "d", "j", batch("b", 0))
    building(ledger, "s")
    ledger.segments.forget(["s"])
    with pytest.raises(Fenced, match="removed while it was built"):
        ledger.journals.move("s", {"b-000000": 0})
    assert len(ledger.journals.waiting("d")) == 1


def test_a_journal_is_idle_once_nothing_is_owed_from_it(ledger: Ledger) -> None:
    journal(ledger, "d", "j", batch("b", 0))
    journal(ledger, "e", "j", batch("c", 0), offset=200)
    ledger.journals.register("empty", "me")
    assert idle(ledger) == ["empty"]
    building(ledger, "s")
    ledger.journals.move("s", {"b-000000": 0})
    assert idle(ledger) == ["empty"]
    building(ledger, "t")
    ledger.journals.move("t", {"c-000000": 0})
    assert idle(ledger) == ["empty", "j"]


def test_a_batch_that_was_set_aside_keeps_its_journal_until_it_is_decided(ledger: Ledger) -> None:
    journal(ledger, "d", "j", batch("b", 0), batch("b", 1))
    culprits = {"b-000000": "rot", "b-000001": "rot", "unknown": "rot"}
    [incident_id] = ledger.quarantine.journaled("d", IncidentKind.RECORD, culprits, IncidentReason.DAMAGED)
    assert ledger.quarantine.journaled("d", IncidentKind.RECORD, culprits, IncidentReason.DAMAGED) == []
    assert ledger.journals.waiting("d") == []
    assert idle(ledger) == []
    assert ledger.journals.bytes_of("d") == 160
    assert volumes(ledger) == {"quarantined": Volume(2, 20, 160), "accepted": Volume(2, 20, 160)}
    assert ledger.incidents.requeue(incident_id)
    assert len(ledger.journals.waiting("d")) == 1
    [again] = ledger.quarantine.journaled("d", IncidentKind.RECORD, culprits, IncidentReason.DAMAGED)
    assert ledger.incidents.discard(again)
    assert idle(ledger) == ["j"]


def test_each_error_is_an_incident_of_its_own(ledger: Ledger) -> None:
    journal(ledger, "d", "j", batch("b", 0), batch("b", 1))
    culprits = {"b-000000": "one thing", "b-000001": "another"}
    first, second = ledger.quarantine.journaled("d", IncidentKind.BATCH, culprits, IncidentReason.POISON)
    assert ledger.incidents.get(first).volume == ledger.incidents.get(second).volume == TEN


def test_a_batch_that_was_moved_is_not_set_aside(ledger: Ledger) -> None:
    journal(ledger, "d", "j", batch("b", 0))
    building(ledger, "s")
    ledger.journals.move("s", {"b-000000": 0})
    culprits = {"b-000000": "too late"}
    assert ledger.quarantine.journaled("d", IncidentKind.RECORD, culprits, IncidentReason.DAMAGED) == []
    promise(ledger, "d", "t", batch("t", 0))
    assert volumes(ledger)["pending"].batches == 2
