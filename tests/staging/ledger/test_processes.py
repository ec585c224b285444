"""Processes in the ledger."""

from __future__ import annotations

from tests.staging.promises import batch, claimed, promise, seal
from timestore_pipeline.model.flush import FlushState, RetryReason
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.processes import ProcessRecord


def test_an_idle_process_is_forgotten_once(ledger: Ledger) -> None:
    ledger.processes.add(ProcessRecord("p", 1, "host"))
    assert ledger.processes.all() == [ProcessRecord("p", 1, "host")]
    assert ledger.processes.forget_idle("p")
    assert not ledger.processes.forget_idle("p")


def test_a_process_that_builds_a_segment_is_not_forgotten(ledger: Ledger) -> None:
    ledger.processes.add(ProcessRecord("p", 1, "host"))
    ledger.segments.register("s", ledger.datasets.ensure("d").dataset_id, "p")
    assert not ledger.processes.forget_idle("p")
    seal(ledger, "s")
    assert ledger.processes.forget_idle("p")


def test_a_process_with_a_claim_is_not_forgotten(ledger: Ledger) -> None:
    ledger.processes.add(ProcessRecord("p", 1, "host"))
    promise(ledger, "d", "s", batch("s", 0))
    ref = claimed(ledger, owner="p")
    assert not ledger.processes.forget_idle("p")
    ledger.flushes.abort(ref, FlushState.CLAIMED, "x", RetryReason.ERROR)
    assert ledger.processes.forget_idle("p")
