"""Segments in the ledger."""

from __future__ import annotations

from tests.staging.promises import batch, claimed, promise
from timestore_pipeline.staging.ledger import Ledger


def test_a_seal_is_asked_of_the_owner_of_each_open_segment(ledger: Ledger) -> None:
    dataset_id = ledger.datasets.ensure("d").dataset_id
    ledger.segments.register("mine", dataset_id, "me")
    ledger.segments.register("yours", dataset_id, "you")
    assert ledger.segments.seal_requests("me") == []
    ledger.segments.request_seal("d")
    assert [segment.segment_id for segment in ledger.segments.seal_requests("me")] == ["mine"]
    ledger.segments.mark_sealed("mine")
    assert ledger.segments.seal_requests("me") == []
    assert [segment.segment_id for segment in ledger.segments.open_segments("d")] == ["yours"]


def test_asking_where_nothing_is_open_writes_nothing(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    marker = ledger.database.change_marker()
    ledger.segments.request_seal("d")
    ledger.segments.request_seal("unknown")
    assert ledger.database.change_marker() == marker


def test_a_disowned_segment_belongs_to_nobody(ledger: Ledger) -> None:
    ledger.segments.register("s", ledger.datasets.ensure("d").dataset_id, "me")
    ledger.segments.disown("s")
    [segment] = ledger.segments.open_segments("d")
    assert (segment.owner, segment.sealed) == ("", False)


def test_a_sealed_segment_cannot_be_disowned(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    ledger.segments.disown("s")
    found = ledger.segments.get("s")
    assert found is not None
    assert found.owner == "writer"


def test_a_segment_is_drained_when_no_batch_in_it_can_be_needed_again(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    assert ledger.segments.drained("d") == []
    ref = claimed(ledger)
    assert ledger.segments.drained("d") == []
    ledger.flushes.record_export(ref, [], [])
    ledger.flushes.finalize(ref, 1)
    assert [segment.segment_id for segment in ledger.segments.drained("d")] == ["s"]
    ledger.segments.forget(["s"])
    assert ledger.segments.of_dataset("d") == []
    assert ledger.segments.get("s") is None


def test_an_open_segment_is_never_drained(ledger: Ledger) -> None:
    ledger.segments.register("s", ledger.datasets.ensure("d").dataset_id, "me")
    assert ledger.segments.drained("d") == []
