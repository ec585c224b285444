"""The audit of sound data is clean, also beside concurrent work."""

from __future__ import annotations

import pytest

from tests.recovery.audit.books import audited, codes, readings
from timestore_pipeline.errors import LedgerLost, UnknownDataset
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

PUBLIC_KEYS = [
    "dataset", "accepted_batches", "accepted_rows", "pending_rows", "in_flight_rows", "published_rows",
    "quarantined_rows", "discarded_rows", "ok", "problems",
]  # fmt: skip


def claimed_and_exported(store: Timestore) -> FlushRef:
    ref = store.pipeline.claim("weather", Trigger.MANUAL, "test").ref
    assert ref is not None
    store.pipeline.export(ref, store.export_options())
    return ref


def test_books_in_order_are_ok(store: Timestore) -> None:
    audit = audited(store)
    assert (audit.ok, codes(audit.warnings)) == (True, [])
    assert (audit.accepted_batches, audit.accepted_rows) == (4, 50)
    assert (audit.published_rows, audit.pending_rows) == (30, 20)


def test_the_report_has_the_promised_keys_first(store: Timestore) -> None:
    report = verify(store.area, store.lake).to_dict()
    assert list(report)[:1] == ["ok"]
    assert list(report["datasets"][0])[: len(PUBLIC_KEYS)] == PUBLIC_KEYS


def test_an_empty_directory_is_ok(settings: Settings) -> None:
    with Timestore(settings) as empty:
        report = verify(empty.area, empty.lake)
    assert (report.ok, report.datasets) == (True, [])


def test_an_unknown_dataset_is_refused(store: Timestore) -> None:
    with pytest.raises(UnknownDataset, match="nowhere"):
        verify(store.area, store.lake, ["nowhere"])


def test_batches_in_a_living_writers_journal_are_pending_and_ok(store: Timestore) -> None:
    with store.staging() as staging:
        staging.enqueue("weather", readings(5))
        audit = audited(store)
    assert (audit.ok, codes(audit.warnings)) == (True, [])
    assert (audit.accepted_batches, audit.pending_rows) == (5, 25)


def test_a_flush_in_flight_is_ok_before_its_commit(store: Timestore) -> None:
    claimed_and_exported(store)
    audit = audited(store)
    assert (audit.ok, codes(audit.warnings)) == (True, [])
    assert (audit.in_flight_rows, audit.pending_rows) == (20, 0)


def test_a_flush_that_waits_to_be_finalized_is_ok(store: Timestore) -> None:
    store.pipeline.publish(claimed_and_exported(store))
    audit = audited(store)
    assert (audit.ok, audit.in_flight_rows) == (True, 20)


def test_an_aborted_flush_leaves_the_books_in_order(store: Timestore, settings: Settings) -> None:
    claimed_and_exported(store)
    store.area.held_claims.close()
    recover(store.area, store.lake)
    audit = audited(store)
    assert (audit.ok, codes(audit.warnings), audit.pending_rows) == (True, [], 20)


def test_batches_that_were_forgotten_in_time_stay_in_the_books(store: Timestore) -> None:
    assert store.area.ledger.published.prune("weather", clock.now()) == 2
    audit = audited(store)
    assert (audit.ok, audit.published_rows) == (True, 30)


def test_two_shards_share_a_table(store: Timestore, settings: Settings) -> None:
    other = settings.model_copy(update={"shard": "shard-1", "staging_directory": settings.home / "other"})
    with Timestore(other) as neighbour:
        with neighbour.staging() as staging:
            staging.enqueue("weather", readings(7))
        neighbour.flush("weather", Trigger.MANUAL, "test")
        assert audited(neighbour).published_rows == 7
        assert audited(neighbour).ok
    assert (audited(store).ok, audited(store).published_rows) == (True, 30)


def test_a_lost_ledger_does_not_look_like_an_empty_directory(store: Timestore, settings: Settings) -> None:
    store.close()
    for path in settings.staging_directory.glob("ledger.sqlite*"):
        path.unlink()
    with pytest.raises(LedgerLost, match=r"ledger\.sqlite is lost"):
        Timestore(settings)
