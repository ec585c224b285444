"""One run of fifty datasets of which some cannot be flushed: the others never notice, and nothing gets stuck."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from tests.defs.flushing import build, failure_of, hourly, published
from tests.defs.ticking import tick
from tests.flush.damaging import poison
from tests.staging.rolled import roll_up_all
from timestore_pipeline import StagingManager
from timestore_pipeline.flush.export_with_quarantine import ATTEMPTS_BEFORE_ISOLATION
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.wiring import Timestore

GOOD = [f"good{number:02}" for number in range(46)]
POISONED = ["poisoned0", "poisoned1", "poisoned2"]
UNWRITABLE = "unwritable"
EVERYONE = [*GOOD, *POISONED, UNWRITABLE]
STAGED = list(range(20))  # two batches of ten


@pytest.fixture
def staged(timestore: Timestore, home: Path) -> None:
    """The second batch of the poisoned cannot be exported; a file is where a table should be, which stops root too."""
    with StagingManager.open(timestore.settings) as staging:
        futures = [staging.submit(dataset, hourly(10, first)) for dataset in EVERYONE for first in (0, 10)]
        for future in futures:
            future.result()
    roll_up_all(timestore.area)
    for dataset in POISONED:
        for segment in timestore.area.directory.segment_folder(dataset).glob("*.duckdb"):
            poison(segment, [1])
    (home / "lake").mkdir()
    (home / "lake" / UNWRITABLE).write_text("not a table")


@pytest.mark.usefixtures("staged")
def test_the_sound_are_published_the_others_named_and_the_next_runs_go_on(
    timestore: Timestore, instance: dg.DagsterInstance, home: Path
) -> None:
    run = build(instance, *EVERYONE)
    assert all(published(timestore, dataset) == STAGED for dataset in GOOD)
    message = failure_of(run, "finalize_flushes")
    assert "4 of 50 datasets were not flushed" in message
    assert all(f"- {dataset} (" in message for dataset in [*POISONED, UNWRITABLE])

    waiting = {backlog.dataset: backlog for backlog in timestore.area.waiting()}
    assert set(waiting) == {*POISONED, UNWRITABLE}
    assert all(backlog.pending.rows == 20 and backlog.claim_trigger is None for backlog in waiting.values())

    for _ in range(ATTEMPTS_BEFORE_ISOLATION):
        again = build(instance, *POISONED, UNWRITABLE)
    assert "1 of 4 datasets were not flushed" in failure_of(again, "finalize_flushes")
    assert all(published(timestore, dataset) == STAGED[:10] for dataset in POISONED)
    assert sorted(incident.dataset for incident in timestore.area.ledger.incidents.all()) == POISONED
    assert not tick(instance).run_requests  # it is waited with the one that is left

    (home / "lake" / UNWRITABLE).unlink()
    assert build(instance, UNWRITABLE).success
    assert timestore.area.waiting() == []
    assert verify(timestore.area, timestore.lake).ok
