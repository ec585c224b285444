"""Damaged and missing journals: what can be read is published at once, the rest is kept, named, and can be requeued."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flush.conftest import hourly, published
from tests.flush.damaging import (
    ROWS,
    assert_accounted_for,
    drain,
    flip,
    flush,
    journal_of,
    lose_end,
    numbers,
    quarantined,
    stage_in_journal,
)
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import AllSetAside, Fenced, UnreadableSegment
from timestore_pipeline.model.batch import Incident, IncidentKind, IncidentReason
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.staging.journal_records import scan
from timestore_pipeline.staging.quarantine import discard, quarantined_file, requeue
from timestore_pipeline.wiring import Timestore


def only_incident(store: Timestore) -> Incident:
    [incident] = store.area.ledger.incidents.all("d")
    return incident


def damage(path: Path, record: int) -> None:
    """One bit, within the rows of this record."""
    offsets = [found.offset for found in scan(path).records]
    end = offsets[record + 1] if record + 1 < len(offsets) else path.stat().st_size
    flip(path, end - 40)


def test_wherever_a_bit_flips_every_batch_is_published_or_named(settings: Settings, tmp_path: Path) -> None:
    ids = stage_in_journal(settings, 4)
    with Timestore(settings) as store:
        size = journal_of(store).stat().st_size
    named = 0
    for step, offset in enumerate(range(0, size, size // 24)):
        copy = Settings.build(home=tmp_path / f"copy-{step}")
        shutil.copytree(settings.home, copy.home)
        with Timestore(copy) as store:
            flip(path := journal_of(store), offset)
            flipped = path.read_bytes()
            drain(store)
            assert_accounted_for(store, ids)
            assert len(quarantined(store)) <= 1
            named += len(quarantined(store))
            assert not quarantined(store) or path.read_bytes() == flipped
    assert named > 0


def test_a_damaged_record_costs_its_own_batches_only_and_names_its_journal(
    settings: Settings, timestore: Timestore
) -> None:
    ids = stage_in_journal(settings, 5)
    path = journal_of(timestore)
    damage(path, 2)
    assert flush(timestore) is not None
    assert published(timestore) == numbers([0, 1, 3, 4])
    incident = only_incident(timestore)
    assert (incident.kind, incident.reason, incident.volume.rows) == (IncidentKind.RECORD, IncidentReason.DAMAGED, ROWS)
    assert str(path) in incident.error
    assert quarantined_file(timestore.area, incident) == path
    assert_accounted_for(timestore, ids)


def test_a_torn_end_of_what_was_acknowledged_is_named(settings: Settings, timestore: Timestore) -> None:
    ids = stage_in_journal(settings, 3)
    lose_end(journal_of(timestore))
    drain(timestore)
    assert quarantined(timestore) == {ids[2]}
    assert_accounted_for(timestore, ids)


def test_a_missing_journal_is_one_incident_and_the_others_are_published(
    settings: Settings, timestore: Timestore
) -> None:
    lost = stage_in_journal(settings, 3)
    path = journal_of(timestore)
    path.rename(path.with_name("away"))
    there = stage_in_journal(settings, 2, first=3)
    assert flush(timestore) is not None
    assert quarantined(timestore) == set(lost)
    assert only_incident(timestore).reason is IncidentReason.MISSING
    assert quarantined_file(timestore.area, only_incident(timestore)) is None
    assert_accounted_for(timestore, [*lost, *there])


def test_a_claim_with_nothing_left_says_so_and_counts_no_failure(settings: Settings, timestore: Timestore) -> None:
    stage_in_journal(settings, 3)
    journal_of(timestore).unlink()
    with pytest.raises(AllSetAside) as refused:
        flush(timestore)
    assert [incident.volume.batches for incident in timestore.area.ledger.incidents.all("d")] == [3]
    assert "quarantine list d" in refused.value.hint
    backlog = timestore.status("d").backlog
    assert (backlog.failures, backlog.queued.batches, backlog.quarantined.batches) == (0, 0, 3)


@pytest.mark.parametrize("spoil", [lose_end, Path.unlink], ids=["damaged", "missing"])
def test_only_a_journal_that_can_be_read_again_is_requeued(
    settings: Settings, timestore: Timestore, spoil: Callable[[Path], None]
) -> None:
    stage_in_journal(settings, 3)
    path = journal_of(timestore)
    sound = path.read_bytes()
    spoil(path)
    drain(timestore)
    incident = only_incident(timestore)
    with pytest.raises(UnreadableSegment, match=f"incident 1 stays open, {path} does not hold its batches") as refused:
        requeue(timestore.area, incident.incident_id)
    assert "backup" in refused.value.hint
    assert only_incident(timestore).resolution is None
    path.write_bytes(sound)
    assert requeue(timestore.area, incident.incident_id)
    assert not requeue(timestore.area, incident.incident_id)
    drain(timestore)
    assert published(timestore) == numbers(range(3))
    assert timestore.area.directory.journal_files() == []
    assert verify(timestore.area, timestore.lake).ok


def test_discarding_frees_the_journal_and_keeps_the_books(settings: Settings, timestore: Timestore) -> None:
    stage_in_journal(settings, 3)
    path = journal_of(timestore)
    lose_end(path)
    drain(timestore)
    assert path.exists()
    assert discard(timestore.area, 1)
    assert not path.exists()
    with pytest.raises(Fenced):
        requeue(timestore.area, 1)
    totals = timestore.area.ledger.audit.totals("d").kept
    assert (totals["published"].batches, totals["discarded"].batches, totals["accepted"].batches) == (2, 1, 3)
    assert verify(timestore.area, timestore.lake).ok


def test_a_damaged_record_of_one_dataset_keeps_no_other_dataset_of_the_journal_waiting(
    settings: Settings, timestore: Timestore
) -> None:
    with StagingManager.open(settings) as staging:
        staging.enqueue("d", hourly(ROWS))
        staging.enqueue("other", hourly(ROWS))
    damage(journal_of(timestore), 0)
    with pytest.raises(AllSetAside, match="published nothing"):
        flush(timestore)
    flushed = timestore.flush("other", Trigger.MANUAL, "run")
    assert flushed is not None
    assert published(timestore, "other") == numbers([0])
    assert journal_of(timestore).exists()
