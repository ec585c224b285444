"""Moves into quarantine and out of it, each done once, too late, or by another process."""

from __future__ import annotations

import pytest

from tests.staging.promises import batch, claimed, promise, volumes
from timestore_pipeline.errors import Fenced, UnknownIncident
from timestore_pipeline.model.batch import Damage, IncidentKind, IncidentReason, Resolution, Volume, batch_id
from timestore_pipeline.model.flush import FlushRef, FlushState
from timestore_pipeline.staging.ledger import Ledger

DAMAGED = Damage(IncidentReason.DAMAGED, "rot")
TEN = Volume(1, 10, 80)
CLAIM = FlushRef("d", 1)


def salvaging(ledger: Ledger, *sequences: int) -> Damage:
    """Into a new segment `copy`."""
    ledger.segments.register("copy", ledger.datasets.get("d").dataset_id, "flusher")
    return Damage(IncidentReason.DAMAGED, "rot", "copy", dict.fromkeys(sequences, 10))


def places(ledger: Ledger) -> dict[str, tuple[str, str]]:
    """Batch id -> segment and state."""
    rows = ledger.database.rows("SELECT batch_id, segment_id, state FROM batches ORDER BY batch_id")
    return {row["batch_id"]: (row["segment_id"], row["state"]) for row in rows}


def counted(ledger: Ledger, series: str) -> float:
    return sum(counter.value for counter in ledger.counters.all() if counter.series == series)


def poisoned(ledger: Ledger, sequence: int = 0) -> int:
    """The incident of one of two batches, set aside out of a claim."""
    promise(ledger, "d", "s", batch("s", 0), batch("s", 1))
    [incident_id] = ledger.quarantine.batches(claimed(ledger), {batch_id("s", sequence): "bad"}, "flusher")
    return incident_id


def test_a_culprit_leaves_its_claim_smaller(ledger: Ledger) -> None:
    incident_id = poisoned(ledger)
    [flush] = ledger.flushes.in_flight("d")
    assert flush.volume == TEN
    assert flush.oldest_staged_at == batch("s", 1).staged_at
    assert volumes(ledger) == {"accepted": Volume(2, 20, 160), "in_flight": TEN, "quarantined": TEN}
    incident = ledger.incidents.get(incident_id)
    assert (incident.kind, incident.reason, incident.error, incident.volume) == (
        IncidentKind.BATCH, IncidentReason.POISON, "bad", TEN,
    )  # fmt: skip
    assert counted(ledger, "quarantined_batches_total") == 1


def test_the_rest_of_the_claim_is_published_as_usual(ledger: Ledger) -> None:
    poisoned(ledger)
    ledger.flushes.record_export(CLAIM, [], [])
    ledger.flushes.finalize(CLAIM, 1)
    assert volumes(ledger) == {"accepted": Volume(2, 20, 160), "published": TEN, "quarantined": TEN}


def test_a_culprit_is_set_aside_once(ledger: Ledger) -> None:
    poisoned(ledger)
    assert ledger.quarantine.batches(CLAIM, {batch_id("s", 0): "bad"}, "flusher") == []
    assert counted(ledger, "quarantined_batches_total") == 1


def test_only_who_works_on_a_claim_may_make_it_smaller(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    ref = claimed(ledger)
    with pytest.raises(Fenced, match="no longer this process's"):
        ledger.quarantine.batches(ref, {batch_id("s", 0): "bad"}, "zombie")
    ledger.flushes.record_export(ref, [], [])
    with pytest.raises(Fenced, match="no longer this process's"):
        ledger.quarantine.batches(ref, {batch_id("s", 0): "bad"}, "flusher")
    assert volumes(ledger) == {"accepted": TEN, "in_flight": TEN}


def test_released_batches_are_pending_with_nothing_counted_against_them(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0), batch("s", 1))
    ref = claimed(ledger)
    assert ledger.quarantine.release(ref, [batch_id("s", 1)], "flusher") == 1
    assert ledger.quarantine.release(ref, [batch_id("s", 1)], "flusher") == 0
    assert volumes(ledger) == {"accepted": Volume(2, 20, 160), "in_flight": TEN, "pending": TEN}
    assert ledger.flushes.get(ref).volume == TEN


def test_a_claim_with_nothing_left_ends_without_a_failure(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    ref = claimed(ledger)
    assert not ledger.flushes.end_if_empty(ref, "nothing left")
    ledger.quarantine.batches(ref, {batch_id("s", 0): "bad"}, "flusher")
    assert ledger.flushes.end_if_empty(ref, "nothing left")
    assert ledger.flushes.get(ref).state is FlushState.ABORTED
    assert ledger.backlogs.of("d").failures == 0


def test_a_damaged_segment_keeps_its_whole_batches_in_the_claim(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0), batch("s", 1))
    ref = claimed(ledger)
    incident_id = ledger.quarantine.segment("s", salvaging(ledger, 1), "flusher")
    assert places(ledger) == {"s-000000": ("s", "quarantined"), "s-000001": ("copy", "in_flight")}
    assert ledger.flushes.claimed_segments(ref) == {"copy": [1]}
    assert ledger.flushes.get(ref).volume == ledger.incidents.get(incident_id).volume == TEN
    assert volumes(ledger) == {"accepted": Volume(2, 20, 160), "in_flight": TEN, "quarantined": TEN}
    copy = ledger.segments.get("copy")
    assert copy is not None
    assert copy.sealed


def test_pending_batches_of_a_damaged_segment_are_set_aside_too(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0), batch("s", 1))
    ledger.quarantine.segment("s", salvaging(ledger, 0), "flusher")
    assert places(ledger) == {"s-000000": ("copy", "pending"), "s-000001": ("s", "quarantined")}


@pytest.mark.parametrize("owner", ["zombie", "writer"])
def test_a_segment_claimed_by_another_is_left_to_him(ledger: Ledger, owner: str) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    claimed(ledger)
    with pytest.raises(Fenced, match="belongs to another process"):
        ledger.quarantine.segment("s", DAMAGED, owner)
    assert ledger.incidents.all() == []


def test_a_segment_is_set_aside_once(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    ledger.quarantine.segment("s", DAMAGED, "flusher")
    with pytest.raises(Fenced, match="belongs to another process"):
        ledger.quarantine.segment("s", DAMAGED, "other")
    assert len(ledger.incidents.all()) == 1


def test_a_copy_that_was_removed_meanwhile_takes_nothing_along(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    damage = salvaging(ledger, 0)
    ledger.segments.forget(["copy"])
    with pytest.raises(Fenced, match="removed while it was made"):
        ledger.quarantine.segment("s", damage, "flusher")
    assert places(ledger) == {"s-000000": ("s", "pending")}


def test_poison_in_a_segment_that_is_damaged_later_is_the_later_incidents(ledger: Ledger) -> None:
    first = poisoned(ledger)
    second = ledger.quarantine.segment("s", salvaging(ledger, 1), "flusher")
    assert ledger.incidents.get(first).resolution is Resolution.SUPERSEDED
    assert ledger.incidents.get(second).volume == TEN
    assert volumes(ledger)["quarantined"] == TEN


def test_poison_that_can_still_be_read_moves_with_the_copy(ledger: Ledger) -> None:
    first = poisoned(ledger)
    ledger.quarantine.segment("s", salvaging(ledger, 0, 1), "flusher")
    assert places(ledger) == {"s-000000": ("copy", "quarantined"), "s-000001": ("copy", "in_flight")}
    assert ledger.incidents.get(first).resolution is None


def test_a_requeued_batch_is_pending_with_a_clean_record(ledger: Ledger) -> None:
    incident_id = poisoned(ledger)
    assert ledger.incidents.requeue(incident_id)
    assert not ledger.incidents.requeue(incident_id)
    [one] = ledger.incidents.batches(incident_id)
    assert (one.state, one.attempts, one.batch.batch_id) == ("pending", 0, "s-000000")
    assert volumes(ledger) == {"accepted": Volume(2, 20, 160), "in_flight": TEN, "pending": TEN}
    assert counted(ledger, "requeued_batches_total") == 1
    assert ledger.incidents.all("d") == []


def test_a_requeued_segment_can_be_claimed(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    incident_id = ledger.quarantine.segment("s", DAMAGED, "flusher")
    assert ledger.flushes.in_flight("d") == []
    ledger.incidents.requeue(incident_id)
    assert ledger.flushes.claimed_segments(claimed(ledger)) == {"s": [0]}


def test_a_discarded_batch_stays_in_the_books(ledger: Ledger) -> None:
    incident_id = poisoned(ledger)
    assert ledger.incidents.discard(incident_id)
    assert not ledger.incidents.discard(incident_id)
    assert volumes(ledger) == {"accepted": Volume(2, 20, 160), "in_flight": TEN, "discarded": TEN}
    assert counted(ledger, "discarded_batches_total") == 1


def test_an_incident_ends_in_one_way_only(ledger: Ledger) -> None:
    incident_id = poisoned(ledger)
    ledger.incidents.discard(incident_id)
    with pytest.raises(Fenced, match="discarded already"):
        ledger.incidents.requeue(incident_id)
    [incident] = ledger.incidents.all(resolved=True)
    assert incident.resolution is Resolution.DISCARDED
    assert incident.resolved_at is not None


def test_a_quarantined_segment_is_given_up_only_by_an_operator(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    incident_id = ledger.quarantine.segment("s", DAMAGED, "flusher")
    assert (ledger.segments.drained("d"), ledger.incidents.given_up("d")) == ([], [])
    ledger.incidents.discard(incident_id)
    assert (ledger.segments.drained("d"), ledger.incidents.given_up("d")) == ([], ["s"])


def test_an_unknown_incident_is_refused(ledger: Ledger) -> None:
    for ask in (ledger.incidents.get, ledger.incidents.requeue, ledger.incidents.discard):
        with pytest.raises(UnknownIncident, match="no incident 7"):
            ask(7)
