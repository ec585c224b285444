"""Segments with batches of ten rows, and ways to spoil them that the product never would."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb

from tests.flush.conftest import hourly, published
from tests.staging.rolled import roll_up_in
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import AllSetAside, TimestoreError
from timestore_pipeline.model.flush import Flush, FlushRef, Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.wiring import Timestore

ROWS = 10


def stage_in_journal(settings: Settings, batches: int, first: int = 0) -> list[str]:
    """Ids of batches of ten rows each, a record each, in one journal; batch k holds the numbers from 10 k on."""
    with StagingManager.open(settings) as staging:
        return [staging.enqueue("d", hourly(ROWS, ROWS * (first + k))).batch_id for k in range(batches)]


def stage(settings: Settings, batches: int, first: int = 0) -> list[str]:
    """The same in one segment."""
    ids = stage_in_journal(settings, batches, first)
    roll_up_in(settings)
    return ids


def numbers(batches: Iterable[int]) -> list[int]:
    """What is published when these batches are."""
    return [ROWS * k + n for k in sorted(batches) for n in range(ROWS)]


def segment_of(store: Timestore) -> Path:
    [path] = store.area.directory.segment_folder("d").glob("*.duckdb")
    return path


def journal_of(store: Timestore) -> Path:
    [path] = store.area.directory.journal_files()
    return path


def lose_end(path: Path) -> None:
    """A journal's last record is torn."""
    path.write_bytes(path.read_bytes()[:-50])


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(content)


def poison(path: Path, sequences: Iterable[int]) -> None:
    """The file stays sound; one value of each batch can no longer be cast to the dataset's type."""
    with duckdb.connect(path) as connection:
        connection.execute("ALTER TABLE rows ALTER n TYPE VARCHAR")
        for sequence in sequences:
            connection.execute(
                "UPDATE rows SET n = 'poison' WHERE __timestore_batch = ? AND n = ?", [sequence, str(ROWS * sequence)]
            )


def cure(path: Path) -> None:
    """Undo `poison`."""
    with duckdb.connect(path) as connection:
        connection.execute(f"UPDATE rows SET n = ({ROWS} * __timestore_batch)::VARCHAR WHERE n = 'poison'")
        connection.execute("ALTER TABLE rows ALTER n TYPE BIGINT")


def flush(store: Timestore) -> Flush | None:
    return store.flush("d", Trigger.MANUAL, "run")


def claimed(store: Timestore) -> FlushRef:
    ref = store.pipeline.claim("d", Trigger.MANUAL, "run").ref
    assert ref is not None
    return ref


def flush_failing(store: Timestore, times: int) -> None:
    for _ in range(times):
        try:
            flush(store)
        except TimestoreError:
            continue
        raise AssertionError("the flush did not fail")


def drain(store: Timestore) -> None:
    """Two flushes; one that can publish nothing is fine."""
    for _ in range(2):
        try:
            flush(store)
        except AllSetAside:
            continue


def quarantined(store: Timestore) -> set[str]:
    """Ids of the batches that open incidents name."""
    incidents = store.area.ledger.incidents
    return {one.batch.batch_id for incident in incidents.all() for one in incidents.batches(incident.incident_id)}


def assert_accounted_for(store: Timestore, ids: list[str]) -> None:
    """Every acknowledged batch is published exactly once, or quarantined and named; the books say so."""
    aside = quarantined(store)
    assert published(store) == numbers(k for k, identity in enumerate(ids) if identity not in aside)
    assert store.status("d").backlog.queued.batches == 0
    report = verify(store.area, store.lake)
    assert report.ok, report.to_dict()
