"""Running totals are compared with counts, and repaired only where the counts are confirmed."""

from __future__ import annotations

import pytest

from tests.recovery.audit.books import alter_ledger, audited, codes
from timestore_pipeline.wiring import Timestore

ALTERED_TOTALS = [
    "UPDATE volumes SET rows = rows + 1 WHERE state = 'pending'",
    "UPDATE volumes SET batches = 0 WHERE state = 'published'",
    "UPDATE volumes SET bytes = bytes - 1 WHERE state = 'accepted'",
    "DELETE FROM volumes WHERE state = 'published'",
    "INSERT INTO volumes SELECT dataset_id, 'quarantined', 1, 5, 40 FROM datasets",
]
LOST_BATCHES = [
    "DELETE FROM batches WHERE state = 'pending' AND rows = 12",
    "UPDATE batches SET rows = rows - 1 WHERE state = 'pending'",
]


@pytest.mark.parametrize("statement", ALTERED_TOTALS)
def test_an_altered_total_is_found(store: Timestore, statement: str) -> None:
    alter_ledger(store, statement)
    assert set(codes(audited(store).problems)) == {"totals_differ"}


@pytest.mark.parametrize("statement", ALTERED_TOTALS)
def test_an_altered_total_is_repaired(store: Timestore, statement: str) -> None:
    before = audited(store)
    alter_ledger(store, statement)
    audit = audited(store, repair=True)
    assert (audit.ok, audit.repaired) == (True, True)
    assert (audit.accepted_rows, audit.pending_rows) == (before.accepted_rows, before.pending_rows)


@pytest.mark.parametrize("statement", LOST_BATCHES)
def test_a_lost_batch_is_not_mended_away(store: Timestore, statement: str) -> None:
    alter_ledger(store, statement)
    audit = audited(store, repair=True)
    assert (audit.ok, audit.repaired, audit.accepted_rows) == (False, False, 50)
    assert "backup" in audit.problems[0].hint


def test_a_published_batch_made_larger_is_found(store: Timestore) -> None:
    alter_ledger(store, "UPDATE published_runs SET rows = 1000")
    assert {"claims_differ", "provenance_differs"} <= set(codes(audited(store, repair=True).problems))


def test_repair_changes_nothing_when_nothing_is_wrong(store: Timestore) -> None:
    audit = audited(store, repair=True)
    assert (audit.ok, audit.repaired) == (True, False)


def test_repair_leaves_totals_alone_while_something_else_is_wrong(store: Timestore) -> None:
    alter_ledger(store, "UPDATE volumes SET rows = rows + 1 WHERE state = 'pending'")
    alter_ledger(store, "DELETE FROM run_files")
    assert set(codes(audited(store, repair=True).problems)) == {"totals_differ", "provenance_differs"}
