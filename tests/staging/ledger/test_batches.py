"""Promises, duplicates, backlogs."""

from __future__ import annotations

from datetime import timedelta

from tests.staging.promises import START, batch, claimed, promise, volumes
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.batches import Promise
from timestore_pipeline.staging.ledger.schema_changes import Basis, SchemaMoved
from timestore_pipeline.system import clock


def test_a_promise_is_pending_and_accepted(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0), batch("s", 1, rows=5))
    assert volumes(ledger) == {"pending": Volume(2, 15, 120), "accepted": Volume(2, 15, 120)}
    assert ledger.batches.in_segment("s") == 2
    assert ledger.batches.promised("s") == {0: 10, 1: 5}


def test_a_key_another_process_was_first_with_is_returned_and_not_counted(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0, key="a"))
    dataset_id = ledger.datasets.get("d").dataset_id
    batches = [batch("t", 0, key="a"), batch("t", 1, key="b"), batch("t", 2)]
    assert ledger.batches.promise("t", [Promise(dataset_id, 100, batches)]) == [{"a": batch("s", 0, key="a")}]
    assert volumes(ledger)["accepted"].batches == 3
    assert ledger.batches.promised("t") == {1: 10, 2: 10}


def test_the_records_of_a_group_commit_are_answered_one_by_one(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0, key="a"))
    ids = {name: ledger.datasets.ensure(name).dataset_id for name in ("d", "e")}
    moved = Basis("e", times_changed=-1, change=None, extents={})
    records = [
        Promise(ids["d"], 100, [batch("t", 0, key="a"), batch("t", 1)]),
        Promise(ids["e"], 200, [batch("u", 0)], moved),
        Promise(ids["d"], 300, [batch("t", 2)]),
        Promise(ids["d"], 400, []),
    ]
    raced, refused, fresh, empty = ledger.batches.promise("j", records)
    assert raced == {"a": batch("s", 0, key="a")}
    assert isinstance(refused, SchemaMoved)
    assert (fresh, empty) == ({}, {})
    assert ledger.batches.promised("j") == {1: 10, 2: 10}
    assert volumes(ledger, "e") == {}


def test_the_same_key_in_another_dataset_is_another_batch(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0, key="a"))
    promise(ledger, "e", "t", batch("t", 0, key="a"))
    assert volumes(ledger, "e")["accepted"].batches == 1


def test_a_key_stays_known_after_publication(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0, key="a"))
    ref = claimed(ledger)
    ledger.flushes.record_export(ref, [], [])
    ledger.flushes.finalize(ref, 1)
    dataset_id = ledger.datasets.get("d").dataset_id
    assert ledger.batches.known_keys(dataset_id, ["a", "b"]) == {"a": batch("s", 0, key="a")}
    assert ledger.batches.known_keys(dataset_id, []) == {}


def test_more_keys_than_one_statement_takes_are_looked_up(ledger: Ledger) -> None:
    keys = [f"k{n}" for n in range(40_000)]
    promise(ledger, "d", "s", batch("s", 0, key=keys[-1]))
    assert list(ledger.batches.known_keys(ledger.datasets.get("d").dataset_id, keys)) == [keys[-1]]


def test_any_text_can_be_a_key(ledger: Ledger) -> None:
    for n, key in enumerate(["'; DROP TABLE batches; --", "nul\0inside", "\U0001f600", " "]):
        promise(ledger, "d", "s", batch("s", n, key=key))
        assert list(ledger.batches.known_keys(ledger.datasets.get("d").dataset_id, [key])) == [key]


def test_what_is_not_published_holds_the_completeness_back(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 1), batch("s", 2))
    ref = claimed(ledger)
    promise(ledger, "d", "t", batch("t", 3))
    assert ledger.batches.complete_until("d") == START + timedelta(seconds=1)
    assert ledger.batches.complete_until("d", with_claim=True) == START + timedelta(seconds=3)
    ledger.flushes.record_export(ref, [], [])
    ledger.flushes.finalize(ref, 1)
    assert ledger.batches.complete_until("d") == START + timedelta(seconds=3)


def test_where_nothing_waits_all_is_complete_until_before_one_looked(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    before = clock.now()
    assert before <= ledger.batches.complete_until("d") <= clock.now()


def test_the_backlog_query_and_the_prune_use_indexes(ledger: Ledger) -> None:
    sql = "SELECT batch_id FROM batches WHERE dataset_id = 1 AND state = 'published' AND staged_at < 5"
    [plan] = ledger.database.rows(f"EXPLAIN QUERY PLAN {sql}")
    assert "batches_by_state (dataset_id=? AND state=? AND staged_at<?)" in plan["detail"]


def test_the_first_promise_makes_its_dataset(ledger: Ledger) -> None:
    basis = Basis("new", times_changed=0)
    ledger.batches.promise("j", [Promise(0, 100, [batch("t", 0)], basis)])
    ledger.batches.promise("j", [Promise(0, 200, [batch("t", 1)], basis)])
    assert ledger.datasets.names() == ["new"]
    assert volumes(ledger, "new")["accepted"].batches == 2
