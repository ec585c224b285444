"""Old flushes are folded into stretches of epochs, and what they published stays counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.staging.promises import batch, claimed, promise, volumes
from timestore_pipeline.errors import Fenced, UnknownDataset
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Flush, FlushRef, FlushState, RetryReason
from timestore_pipeline.model.lake import ExportedFile, PartitionKey
from timestore_pipeline.staging.ledger import Ledger, flush_stretches
from timestore_pipeline.staging.ledger.dataset_catalog import read_catalog
from timestore_pipeline.staging.ledger.exports import BatchShare
from timestore_pipeline.staging.ledger.flush_stretches import FlushStretch
from timestore_pipeline.staging.ledger.log_import import PublishedFlush
from timestore_pipeline.staging.ledger.schema_changes import extents_of
from timestore_pipeline.system import clock


def _claim(ledger: Ledger, number: int) -> FlushRef:
    promise(ledger, "d", f"s{number}", batch(f"s{number}", 0, rows=number))
    return claimed(ledger)


def _publish(ledger: Ledger, number: int) -> FlushRef:
    """A batch of so many rows, on a day of its own."""
    ref = _claim(ledger, number)
    file = ExportedFile(f"p{number}", number, 80, PartitionKey("date", f"2026-01-{number:02}"), "", None, None)
    ledger.flushes.record_export(ref, [file], [BatchShare(f"s{number}-000000", 0, number)])
    ledger.flushes.finalize(ref, number)
    return ref


def _abort(ledger: Ledger, number: int) -> None:
    assert ledger.flushes.abort(_claim(ledger, number), FlushState.CLAIMED, "x", RetryReason.ERROR)


def _soon() -> datetime:
    return clock.now() + timedelta(minutes=1)


def _stretches(ledger: Ledger) -> list[tuple[int, int, int, int]]:
    """First and last epoch, batches, rows."""
    found = ledger.audit.facts("d").stretches
    return [(one.first_epoch, one.last_epoch, one.volume.batches, one.volume.rows) for one in found]


def _epochs(ledger: Ledger) -> list[int]:
    return [flush.epoch for flush in ledger.flushes.history("d")]


def _rows_of(ledger: Ledger, table: str) -> int:
    [row] = ledger.database.rows(f"SELECT count(*) AS rows FROM {table}")
    return int(row["rows"])


def test_flushes_that_ended_are_folded_with_their_files_and_the_newest_stays(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        _publish(ledger, number)
    ledger.published.fold("d")
    assert ledger.flush_stretches.fold("d", _soon()) == 2
    assert (_stretches(ledger), _epochs(ledger)) == ([(1, 2, 2, 3)], [3])
    assert [_rows_of(ledger, table) for table in ("files", "run_files", "batch_files")] == [1, 1, 0]
    assert ledger.flush_stretches.fold("d", _soon()) == 0


def test_the_totals_and_the_first_partition_stay(ledger: Ledger) -> None:
    for number in (3, 1, 2):
        _publish(ledger, number)
    before, (shown,) = ledger.audit.totals("d"), read_catalog(ledger.database.path)
    ledger.flush_stretches.fold("d", _soon())
    assert ledger.audit.totals("d").flushed == before.flushed == Volume(3, 6, 48)
    assert read_catalog(ledger.database.path) == [shown]
    assert (shown.first_partition, shown.last_partition) == ("2026-01-01", "2026-01-03")


def test_an_aborted_flush_adds_nothing(ledger: Ledger) -> None:
    _abort(ledger, 1)
    _publish(ledger, 2)  # with the batch that came back
    _publish(ledger, 3)
    assert ledger.flush_stretches.fold("d", _soon()) == 2
    assert _stretches(ledger) == [(1, 2, 2, 3)]


def test_stretches_follow_each_other_and_are_not_longer_than_they_may_be(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush_stretches, "MOST_EPOCHS", 3)
    monkeypatch.setattr(flush_stretches, "MOST_FOLDED", 1)
    for number in range(1, 6):
        _publish(ledger, number)
        ledger.flush_stretches.fold("d", _soon())
    assert _stretches(ledger) == [(1, 3, 3, 6), (4, 4, 1, 4)]


def test_an_epoch_that_the_ledger_never_had_is_in_no_stretch(ledger: Ledger) -> None:
    """Another ledger under this shard's name may have published it, and `recover --replace-shard` enters it then."""
    flush = ledger.flushes.get(_publish(ledger, 1))
    ledger.log_import.raise_epoch("d", 5)
    for number in (2, 3, 4):
        _publish(ledger, number)
    assert ledger.flush_stretches.fold("d", _soon()) == 3
    assert _stretches(ledger) == [(1, 1, 1, 1), (6, 7, 2, 5)]
    theirs = replace(_logged(flush), epoch=4, batch_ids=["other-000000"])
    assert ledger.log_import.enter_published(theirs)


def test_a_flush_in_flight_or_too_young_ends_the_stretch(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    _publish(ledger, 1)
    before = clock.now()
    _publish(ledger, 2)
    _publish(ledger, 3)
    assert ledger.flush_stretches.fold("d", before) == 1
    _claim(ledger, 4)
    assert ledger.flush_stretches.fold("d", _soon()) == 2
    assert (_stretches(ledger), _epochs(ledger)) == ([(1, 3, 3, 6)], [4])


def test_a_folded_flush_is_neither_entered_again_from_the_log_nor_published_again(ledger: Ledger) -> None:
    flush = ledger.flushes.get(_publish(ledger, 1))
    _publish(ledger, 2)
    ledger.flush_stretches.fold("d", _soon())
    before = ledger.audit.facts("d")
    for whole in (False, True):
        assert not ledger.log_import.enter_published(_logged(flush), whole=whole)
    with pytest.raises(Fenced):
        ledger.flushes.finalize(FlushRef("d", 1), 1)
    assert ledger.audit.facts("d") == before


def _logged(flush: Flush) -> PublishedFlush:
    return PublishedFlush(
        "d", flush.epoch, "", 0, flush.run_id, flush.trigger, flush.volume, 1, ["s1-000000"], []
    )  # fmt: skip


def test_a_recount_counts_what_is_folded(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        _publish(ledger, number)
    ledger.flush_stretches.fold("d", _soon())
    before = volumes(ledger)
    ledger.log_import.recount()
    assert volumes(ledger) == before == {"accepted": Volume(3, 6, 48), "published": Volume(3, 6, 48)}


def test_types_stay_fixed_once_anything_was_published(ledger: Ledger) -> None:
    """Though the newest flush, the only one left, was aborted."""
    _publish(ledger, 1)
    _abort(ledger, 2)
    ledger.flush_stretches.fold("d", _soon())
    with ledger.database.transaction() as tx:
        tx.execute("UPDATE datasets SET extents = '{}'")
        assert extents_of(tx, ledger.datasets.get("d")) is None


def test_a_dataset_that_is_not_known(ledger: Ledger) -> None:
    with pytest.raises(UnknownDataset):
        ledger.flush_stretches.fold("d", _soon())


def test_a_stretch_holds_its_epochs() -> None:
    stretch = FlushStretch(2, 4, Volume())
    assert [epoch in stretch for epoch in (1, 2, 4, 5)] == [False, True, True, False]


def test_a_year_of_flushes_a_minute_is_less_than_a_megabyte(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", "shard-0")
    dataset_id, year = ledger.datasets.ensure("d").dataset_id, 365 * 24 * 60
    with ledger.database.transaction() as tx:
        tx.execute(
            "WITH RECURSIVE epochs (epoch) AS (SELECT 1 UNION ALL SELECT epoch + 1 FROM epochs WHERE epoch < ?)"
            " INSERT INTO flushes (dataset_id, epoch, state, trigger, run_id, owner, batches, rows, bytes,"
            " oldest_staged_at, claimed_at, finished_at)"
            " SELECT ?, epoch, 'published', 'age', 'run', 'owner', 1, 10, 80, 0, 0, 1 FROM epochs",
            (year, dataset_id),
        )
    assert ledger.flush_stretches.fold("d", _soon()) == year - 1
    assert len(_stretches(ledger)) == -(-(year - 1) // flush_stretches.MOST_EPOCHS)
    [pages] = ledger.database.rows(
        "SELECT page_count - freelist_count AS used FROM pragma_page_count, pragma_freelist_count"
    )
    assert pages["used"] * 4096 < 1_000_000
    ledger.close()
