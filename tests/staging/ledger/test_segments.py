"""Segments in the ledger."""

from __future__ import annotations

from tests.staging.promises import batch, claimed, promise, seal
from timestore_pipeline.staging.ledger import Ledger


def test_a_segment_is_listed_as_being_built_until_batches_were_moved_into_it(ledger: Ledger) -> None:
    dataset_id = ledger.datasets.ensure("d").dataset_id
    ledger.segments.register("s", dataset_id, "me")
    [segment] = ledger.segments.building("d")
    assert (segment.segment_id, segment.owner, segment.sealed) == ("s", "me", False)
    seal(ledger, "s")
    assert ledger.segments.building("d") == []
    assert [segment.sealed for segment in ledger.segments.of_dataset("d")] == [True]


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


def test_a_segment_that_is_being_built_is_never_drained(ledger: Ledger) -> None:
    ledger.segments.register("s", ledger.datasets.ensure("d").dataset_id, "me")
    assert ledger.segments.drained("d") == []
