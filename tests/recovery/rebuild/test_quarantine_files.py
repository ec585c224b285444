"""Files in quarantine survive the loss of the ledger: as incidents with their batches, or at least by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recovery.rebuild.conftest import backup, flush, in_lake, problems, recovered, restore, stage_in_segment
from timestore_pipeline import Settings
from timestore_pipeline.errors import LedgerLost
from timestore_pipeline.model.batch import Incident
from timestore_pipeline.staging import quarantine
from timestore_pipeline.wiring import Timestore, rebuild_if_lost


def set_aside(settings: Settings, *, copied: bool) -> Path:
    """Move the newest segment to quarantine, its batches copied into another one or not; where it is now."""
    with Timestore(settings) as store:
        segment = store.area.ledger.segments.of_dataset("d")[-1]
        path = store.area.directory.segment("d", segment.segment_id)
        if not copied:
            path.rename(path.with_name("away"))
        assert quarantine.set_aside_if_damaged(store.area, segment, unusable="for the test") is not None
        aside = store.area.directory.quarantined("d", segment.segment_id)
        if not copied:
            aside.parent.mkdir(parents=True)
            path.with_name("away").rename(aside)
        return aside


def lose_ledger(settings: Settings) -> None:
    for path in settings.staging_directory.glob("ledger.sqlite*"):
        path.unlink()


def incidents(settings: Settings) -> list[Incident]:
    with Timestore(settings) as store:
        return store.area.ledger.incidents.all()


@pytest.fixture
def aside(settings: Settings) -> Path:
    """Ten rows pending, twenty set aside that can be read after all; and the ledger is gone."""
    stage_in_segment(settings, 0)
    stage_in_segment(settings, 10, 20)
    path = set_aside(settings, copied=False)
    lose_ledger(settings)
    return path


def test_its_batches_hang_on_an_incident_and_can_be_requeued(settings: Settings, aside: Path) -> None:
    rebuild_if_lost(settings)
    recovered(settings)
    [incident] = incidents(settings)
    assert (incident.segment_id, incident.volume.batches, incident.volume.rows) == (aside.stem, 2, 20)
    assert problems(settings) == []
    with Timestore(settings) as store:
        assert quarantine.requeue(store.area, incident.incident_id)
    flush(settings)
    assert in_lake(settings) == list(range(30))
    assert problems(settings) == []


def test_a_file_that_cannot_be_read_is_an_incident_that_names_it(settings: Settings, aside: Path) -> None:
    aside.write_bytes(b"rotten")
    rebuild_if_lost(settings)
    recovered(settings)
    [incident] = incidents(settings)
    assert (incident.segment_id, incident.volume.batches) == (aside.stem, 0)
    assert str(aside) in incident.error
    assert aside.exists()
    assert problems(settings) == []


def test_a_file_in_quarantine_alone_keeps_its_directory_from_being_taken_for_a_new_one(
    settings: Settings, aside: Path
) -> None:
    for path in (settings.staging_directory / "segments" / "d").iterdir():
        path.unlink()
    with pytest.raises(LedgerLost):
        Timestore(settings)
    rebuild_if_lost(settings)
    assert incidents(settings)[0].volume.rows == 20


@pytest.mark.parametrize("published", [False, True])
def test_batches_that_were_copied_elsewhere_do_not_count_twice(settings: Settings, published: bool) -> None:
    stage_in_segment(settings, 0, 10)
    set_aside(settings, copied=True)
    if published:
        flush(settings)
    lose_ledger(settings)
    rebuild_if_lost(settings)
    recovered(settings)
    assert [incident.volume.rows for incident in incidents(settings)] == [0]
    flush(settings)
    assert in_lake(settings) == list(range(20))
    assert problems(settings) == []


def test_a_move_that_was_not_made_when_the_ledger_was_lost_leaves_it_to_the_next_flush_to_judge(
    settings: Settings, aside: Path
) -> None:
    """The file lies among the segments, and nothing says that it was set aside."""
    aside.rename(settings.staging_directory / "segments" / "d" / aside.name)
    rebuild_if_lost(settings)
    recovered(settings)
    assert incidents(settings) == []
    flush(settings)
    assert in_lake(settings) == list(range(30))
    assert problems(settings) == []


def test_a_backup_older_than_a_quarantined_segment_gets_the_incident(settings: Settings, tmp_path: Path) -> None:
    stage_in_segment(settings, 0)
    backup(settings, tmp_path / "copy")
    stage_in_segment(settings, 10)
    set_aside(settings, copied=False)
    restore(settings, tmp_path / "copy")
    assert len(recovered(settings).reconciled.incidents) == 1
    assert problems(settings) == []
    flush(settings)
    assert in_lake(settings) == list(range(10))
    assert [incident.volume.rows for incident in incidents(settings)] == [10]


def test_a_backup_older_than_a_quarantine_finds_the_segment_missing(settings: Settings, tmp_path: Path) -> None:
    stage_in_segment(settings, 0)
    stage_in_segment(settings, 10)
    backup(settings, tmp_path / "copy")
    aside = set_aside(settings, copied=False)
    restore(settings, tmp_path / "copy")
    flush(settings)
    [incident] = incidents(settings)
    assert (incident.segment_id, incident.volume.rows) == (aside.stem, 10)
    with Timestore(settings) as store:
        assert quarantine.requeue(store.area, incident.incident_id)
    flush(settings)
    assert in_lake(settings) == list(range(20))
    assert problems(settings) == []


def test_a_kept_ledger_is_not_a_dataset(settings: Settings, aside: Path) -> None:
    (settings.staging_directory / "quarantine" / "_ledger-1").mkdir()
    rebuild_if_lost(settings)
    with Timestore(settings) as store:
        assert [record.name for record in store.area.ledger.datasets.all()] == ["d"]
