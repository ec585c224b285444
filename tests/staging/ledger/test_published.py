"""Published batches: folded into runs, still known by id and key, forgotten after the retention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.staging.promises import START, batch, claimed, promise, volumes
from timestore_pipeline.errors import UnknownDataset
from timestore_pipeline.model.batch import StagedBatch, Volume
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.model.lake import ExportedFile, PartitionKey
from timestore_pipeline.staging.ledger import Ledger, published
from timestore_pipeline.staging.ledger.batch_history import Arrival, arrivals
from timestore_pipeline.staging.ledger.batches import Promise
from timestore_pipeline.staging.ledger.exports import BatchShare
from timestore_pipeline.staging.ledger.segment_import import FoundSegment
from timestore_pipeline.system import clock

_FILES = [ExportedFile(f"p{n}", 10, 80, PartitionKey(None, None), "", None, None) for n in range(2)]


def _publish(ledger: Ledger, segment: str, *batches: StagedBatch, shares: Sequence[BatchShare] | None = None) -> None:
    """shares: None = every batch lies in the first file."""
    promise(ledger, "d", segment, *batches)
    ref = claimed(ledger)
    whole = [BatchShare(one.batch_id, 0, one.rows) for one in batches]
    ledger.flushes.record_export(ref, _FILES, whole if shares is None else shares)
    ledger.flushes.finalize(ref, ref.epoch)


def _keyed(segment: str, *sequences: int) -> list[StagedBatch]:
    return [batch(segment, n, key=f"{segment}{n}") for n in sequences]


def _runs(ledger: Ledger) -> list[tuple[object, ...]]:
    rows = ledger.database.rows(
        "SELECT stream_id, first_number, last_number, epoch, rows FROM published_runs ORDER BY run_id"
    )
    return [tuple(row) for row in rows]


def _files(ledger: Ledger) -> list[tuple[object, ...]]:
    rows = ledger.database.rows(
        "SELECT first_number, path, run_files.rows FROM run_files JOIN published_runs USING (run_id)"
        " JOIN files USING (file_id) ORDER BY run_id, path"
    )
    return [tuple(row) for row in rows]


def _own_rows(ledger: Ledger) -> int:
    """Batches that have a row of their own."""
    [row] = ledger.database.rows("SELECT count(*) AS batches FROM batches")
    return int(row["batches"])


def test_consecutive_batches_of_one_flush_become_one_row(ledger: Ledger) -> None:
    _publish(ledger, "s", *(batch("s", n) for n in (0, 1, 2, 5)), batch("t", 3))
    _publish(ledger, "s", batch("s", 6))
    assert ledger.published.fold("d") == 6
    assert _own_rows(ledger) == 0
    assert sorted(_runs(ledger)) == [("s", 0, 2, 1, 30), ("s", 5, 5, 1, 10), ("s", 6, 6, 2, 10), ("t", 3, 3, 1, 10)]
    assert ledger.published.fold("d") == 0


def test_only_what_is_published_is_folded(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    ref = claimed(ledger)
    promise(ledger, "d", "t", batch("t", 0))
    assert ledger.published.fold("d") == 0
    assert list(ledger.batches.of_flush(ref).values()) == ["s-000000"]


def test_a_hundred_thousand_batches_are_folded_in_steps(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "MOST_FOLDED", 2)
    _publish(ledger, "s", *(batch("s", n) for n in range(5)))
    assert ledger.published.fold("d") == 5
    assert [run[1:3] for run in _runs(ledger)] == [(0, 1), (2, 3), (4, 4)]


def test_totals_and_provenance_are_the_same_before_and_after(ledger: Ledger) -> None:
    shares = [BatchShare("s-000000", 0, 6), BatchShare("s-000000", 1, 4), BatchShare("s-000001", 1, 10)]
    _publish(ledger, "s", batch("s", 0), batch("s", 1), shares=shares)
    before = ledger.audit.facts("d")
    assert before.provenance_gaps == []
    ledger.published.fold("d")
    assert ledger.audit.facts("d") == before
    assert _files(ledger) == [(0, "p0", 6), (0, "p1", 14)]


def test_a_run_whose_rows_are_not_all_traced_is_found(ledger: Ledger) -> None:
    _publish(ledger, "s", batch("s", 0), batch("s", 1), shares=[BatchShare("s-000000", 0, 10)])
    [gap] = ledger.audit.facts("d").provenance_gaps
    assert (gap.batches, gap.rows, gap.traced) == ("s-000001", 10, 0)
    ledger.published.fold("d")
    [gap] = ledger.audit.facts("d").provenance_gaps
    assert (gap.batches, gap.rows, gap.traced) == ("s-000000 to 000001", 20, 10)


def test_the_receipt_of_a_key_is_the_first_one_after_folding_too(ledger: Ledger) -> None:
    _publish(ledger, "s", *_keyed("s", 0, 1))
    ledger.published.fold("d")
    assert ledger.batches.known_keys(1, ["s1", "other"]) == {"s1": batch("s", 1, key="s1")}
    again = batch("t", 0, key="s0")
    assert ledger.batches.promise("t", [Promise(1, 100, [again])]) == [{"s0": batch("s", 0, key="s0")}]
    assert volumes(ledger)["accepted"].batches == 2


def test_a_folded_key_belongs_to_its_dataset(ledger: Ledger) -> None:
    _publish(ledger, "s", *_keyed("s", 0))
    ledger.published.fold("d")
    other = ledger.datasets.ensure("e").dataset_id
    assert ledger.batches.known_keys(other, ["s0"]) == {}


def test_a_copy_of_a_published_batch_is_not_queued_again(ledger: Ledger) -> None:
    _publish(ledger, "s", *_keyed("s", 0, 1), batch("s", 2))
    ledger.published.fold("d")
    other_id = replace(batch("u", 0, key="s1"), sequence=3)
    found = FoundSegment("d", "copy", [batch("s", 1), batch("s", 2), other_id, batch("s", 7)], [])
    assert ledger.segment_import.segment(found, lambda _: True) == 1
    assert [one.batch_id for one in ledger.batches.owed("copy")] == ["s-000007"]


def test_batches_found_in_the_lake_are_folded_without_an_epoch(ledger: Ledger) -> None:
    ledger.datasets.ensure("d")
    found = FoundSegment("d", "copy", _keyed("s", 0, 1), ["s-000000", "s-000001"])
    assert ledger.segment_import.segment(found, lambda _: True) == 0
    assert ledger.published.fold("d") == 2
    assert _runs(ledger) == [("s", 0, 1, None, 20)]
    assert list(ledger.batches.known_keys(1, ["s0", "s1"])) == ["s0", "s1"]


def test_a_batch_that_was_set_aside_is_still_shown_by_its_incident(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0), batch("s", 1))
    [incident] = ledger.quarantine.batches(claimed(ledger, owner="f"), {"s-000000": "poison"}, "f")
    ledger.incidents.requeue(incident)
    first = FlushRef("d", 1)
    ledger.flushes.record_export(first, _FILES[:1], [BatchShare("s-000001", 0, 10)])
    ledger.flushes.finalize(first, 1)
    _publish(ledger, "s", shares=[BatchShare("s-000000", 0, 10)])
    assert ledger.published.fold("d") == 1
    assert ledger.incidents.get(incident).volume == Volume(1, 10, 80)
    assert ledger.published.prune("d", clock.now() + timedelta(seconds=1)) == 2
    assert ledger.incidents.get(incident).volume == Volume()


def test_pruning_forgets_published_keys_but_not_their_volume(ledger: Ledger) -> None:
    _publish(ledger, "s", *_keyed("s", 0, 1))
    promise(ledger, "d", "t", batch("t", 0, key="waits"))
    ledger.published.fold("d")
    assert ledger.published.prune("d", clock.now() + timedelta(seconds=1)) == 2
    assert list(ledger.batches.known_keys(1, ["s0", "s1", "waits"])) == ["waits"]
    assert volumes(ledger)["published"] == Volume(2, 20, 160)
    for table in ("published_runs", "published_keys", "run_files"):
        assert ledger.database.rows(f"SELECT * FROM {table}") == []


def test_pruning_takes_batches_that_were_not_folded_too(ledger: Ledger) -> None:
    _publish(ledger, "s", *_keyed("s", 0, 1))
    assert ledger.published.prune("d", clock.now() + timedelta(seconds=1)) == 2
    assert ledger.batches.known_keys(1, ["s0", "s1"]) == {}
    assert ledger.database.rows("SELECT * FROM batch_files") == []


@pytest.mark.parametrize("folded", [False, True])
def test_pruning_spares_what_was_published_lately_however_old_it_is(ledger: Ledger, folded: bool) -> None:
    _publish(ledger, "s", *_keyed("s", 0))
    if folded:
        ledger.published.fold("d")
    assert ledger.published.prune("d", START + timedelta(days=1)) == 0
    with pytest.raises(UnknownDataset):
        ledger.published.prune("other", clock.now())


def test_pruning_is_done_in_bounded_steps(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_FOLDED", "MOST_PRUNED"):
        monkeypatch.setattr(published, name, 2)
    _publish(ledger, "s", *_keyed("s", *range(5)))
    ledger.published.fold("d")
    written = []
    ledger.database._writer.set_trace_callback(lambda sql: written.append(sql) if "COMMIT" in sql else None)
    assert ledger.published.prune("d", clock.now() + timedelta(seconds=1)) == 5
    assert len(written) == 3 + 2 + 1, "keys, runs, and batches with rows of their own"


def test_a_run_gives_back_about_when_its_batches_arrived(ledger: Ledger) -> None:
    _publish(ledger, "s", *(batch("s", n, rows=rows) for n, rows in enumerate((10, 20, 30))))
    promise(ledger, "d", "t", batch("t", 9, rows=7))
    ledger.published.fold("d")
    spread = [Arrival(START + timedelta(seconds=n), 20, 160) for n in range(3)]
    waiting = Arrival(START + timedelta(seconds=9), 7, 56)
    assert arrivals(ledger.database, "d", 100) == [*spread, waiting]
    assert arrivals(ledger.database, "d", 2) == [spread[-1], waiting]


def test_a_damaged_id_of_a_published_batch_does_not_stop_the_others(ledger: Ledger) -> None:
    _publish(ledger, "s", batch("s", 0), batch("s", 1))
    with ledger.database.transaction() as tx:
        tx.execute("UPDATE batches SET batch_id = 's-00000q' WHERE batch_id = 's-000001'")
        tx.execute("DELETE FROM batch_files WHERE batch_id = 's-000001'")
    assert ledger.published.fold("d") == 2
    assert _own_rows(ledger) == 0
