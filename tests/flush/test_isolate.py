"""Poison: batches that can be read and not be exported. Real ones, put into the sealed segment behind our back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flush.conftest import published
from tests.flush.damaging import (
    assert_accounted_for,
    cure,
    flush,
    flush_failing,
    numbers,
    poison,
    quarantined,
    segment_of,
    stage,
)
from timestore_pipeline import Settings
from timestore_pipeline.errors import AllSetAside, TimestoreError
from timestore_pipeline.flush import isolate
from timestore_pipeline.flush.export_with_quarantine import ATTEMPTS_BEFORE_ISOLATION
from timestore_pipeline.model.batch import IncidentKind, IncidentReason
from timestore_pipeline.staging.quarantine import discard, requeue
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


def poisoned(settings: Settings, store: Timestore, batches: int, sequences: list[int]) -> list[str]:
    """Stage, poison, and let as many flushes fail as it takes before anybody searches."""
    ids = stage(settings, batches)
    poison(segment_of(store), sequences)
    flush_failing(store, ATTEMPTS_BEFORE_ISOLATION)
    assert quarantined(store) == set()
    return ids


@pytest.mark.parametrize("sequences", [[0], [6], [12], [2, 3, 9]])
def test_the_rest_is_published_in_the_flush_that_finds_the_culprits(
    settings: Settings, timestore: Timestore, sequences: list[int]
) -> None:
    ids = poisoned(settings, timestore, 13, sequences)
    flushed = flush(timestore)
    assert flushed is not None
    assert flushed.volume.batches == 13 - len(sequences)
    assert quarantined(timestore) == {ids[sequence] for sequence in sequences}
    assert_accounted_for(timestore, ids)


def test_an_incident_says_what_is_wrong_with_the_batch(settings: Settings, timestore: Timestore) -> None:
    poisoned(settings, timestore, 3, [1])
    flush(timestore)
    [incident] = timestore.area.ledger.incidents.all("d")
    assert (incident.kind, incident.reason) == (IncidentKind.BATCH, IncidentReason.POISON)
    assert "Could not convert string 'poison' to INT64" in incident.error


def test_a_claim_of_nothing_but_poison_ends_without_a_failure(settings: Settings, timestore: Timestore) -> None:
    ids = poisoned(settings, timestore, 2, [0, 1])
    with pytest.raises(AllSetAside):
        flush(timestore)
    assert quarantined(timestore) == set(ids)
    assert timestore.status("d").backlog.failures == 0
    assert_accounted_for(timestore, ids)


def test_more_poison_than_one_claim_may_search_for_is_found_by_the_next(
    settings: Settings, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolate, "_MOST_TRIALS", 9)
    ids = poisoned(settings, timestore, 8, [0, 3, 5, 7])
    found = [len(quarantined(timestore))]
    while timestore.status("d").backlog.queued.batches:
        try:
            flush(timestore)
        except AllSetAside:
            continue
        finally:
            found.append(len(quarantined(timestore)))
    assert found == sorted(set(found)), "every flush gets further"
    assert quarantined(timestore) == {ids[sequence] for sequence in (0, 3, 5, 7)}
    assert_accounted_for(timestore, ids)


def test_a_lake_that_is_to_blame_costs_no_batch(settings: Settings, timestore: Timestore) -> None:
    ids = stage(settings, 4)
    blocker = Path(settings.lake_uri, "d")
    blocker.parent.mkdir(parents=True)
    blocker.touch()
    flush_failing(timestore, ATTEMPTS_BEFORE_ISOLATION + 2)
    assert quarantined(timestore) == set()
    assert timestore.status("d").backlog.failures == ATTEMPTS_BEFORE_ISOLATION + 2
    blocker.unlink()
    flush(timestore)
    assert published(timestore) == numbers(range(len(ids)))


def test_a_spool_that_is_to_blame_costs_no_batch(
    settings: Settings, timestore: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then not even an export of no rows works."""
    ids = poisoned(settings, timestore, 4, [2])
    monkeypatch.setattr(isolate, "try_export", _refuse)
    flush_failing(timestore, 1)
    assert quarantined(timestore) == set()
    monkeypatch.undo()
    flush(timestore)
    assert quarantined(timestore) == {ids[2]}


def _refuse(*_arguments: object) -> None:
    raise TimestoreError("whatever it is, it is not the rows")


def test_trials_leave_nothing_in_the_spool_and_nothing_in_the_lake(settings: Settings, timestore: Timestore) -> None:
    poisoned(settings, timestore, 5, [4])
    flush(timestore)
    assert list(timestore.area.directory.spool.iterdir()) == []
    assert len(list(Path(settings.lake_uri).rglob("*.parquet"))) == 2


def test_a_batch_that_was_cured_is_published_after_a_requeue(settings: Settings, timestore: Timestore) -> None:
    ids = poisoned(settings, timestore, 3, [1])
    flush(timestore)
    cure(segment_of(timestore))
    [incident] = timestore.area.ledger.incidents.all("d")
    assert requeue(timestore.area, incident.incident_id)
    flush(timestore)
    assert published(timestore) == numbers(range(3))
    assert_accounted_for(timestore, ids)


def test_a_table_is_not_complete_as_long_as_a_batch_of_it_is_set_aside(
    settings: Settings, timestore: Timestore
) -> None:
    poisoned(settings, timestore, 3, [1])
    flush(timestore)
    [incident] = timestore.area.ledger.incidents.all("d")
    set_aside = clock.now()
    stage(settings, 2, first=3)
    staged = clock.now()
    flush(timestore)
    assert timestore.area.ledger.batches.complete_until("d") < set_aside
    discard(timestore.area, incident.incident_id)
    assert timestore.area.ledger.batches.complete_until("d") > staged


def test_a_batch_that_was_not_cured_comes_back_with_a_new_incident(settings: Settings, timestore: Timestore) -> None:
    ids = poisoned(settings, timestore, 3, [1])
    flush(timestore)
    [first] = timestore.area.ledger.incidents.all("d")
    requeue(timestore.area, first.incident_id)
    flush_failing(timestore, ATTEMPTS_BEFORE_ISOLATION + 1)
    [second] = timestore.area.ledger.incidents.all("d")
    assert second.incident_id > first.incident_id
    assert_accounted_for(timestore, ids)


def test_a_discarded_batch_gives_its_segment_free(settings: Settings, timestore: Timestore) -> None:
    ids = poisoned(settings, timestore, 3, [1])
    flush(timestore)
    assert timestore.area.dataset_usage("d").total > 0
    [incident] = timestore.area.ledger.incidents.all("d")
    assert discard(timestore.area, incident.incident_id)
    assert timestore.area.dataset_usage("d").total == 0
    assert quarantined(timestore) == set()
    assert published(timestore) == numbers([0, 2])
    assert len(ids) == 3
