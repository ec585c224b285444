"""Damaged segments: what is whole is published at once, the rest is kept and named, and nobody has to be asked."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tests.flush.conftest import published
from tests.flush.damaging import (
    assert_accounted_for,
    claimed,
    drain,
    flip,
    flush,
    numbers,
    quarantined,
    segment_of,
    stage,
)
from tests.staging.rolled import roll_up_all
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.errors import AllSetAside
from timestore_pipeline.model.batch import IncidentKind, IncidentReason
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.staging.directory import file_sizes
from timestore_pipeline.staging.quarantine import requeue, set_aside_if_damaged
from timestore_pipeline.wiring import Timestore


def test_wherever_a_bit_flips_every_batch_is_published_or_named(settings: Settings, tmp_path: Path) -> None:
    ids = stage(settings, 12)
    with Timestore(settings) as store:
        name = segment_of(store).name
        size = segment_of(store).stat().st_size
    named = 0
    for step, offset in enumerate(range(4096, size, 16384 // 3)):
        copy = Settings.build(home=tmp_path / f"copy-{step}")
        shutil.copytree(settings.home, copy.home)
        with Timestore(copy) as store:
            flip(segment_of(store), offset)
            drain(store)
            assert_accounted_for(store, ids)
            named += len(quarantined(store))
            kept = dict(file_sizes(store.area.directory.quarantine_folder("d")))
            assert kept == ({name: size} if quarantined(store) else {})
    assert named > 0


def test_a_flip_costs_only_the_batches_it_hit(settings: Settings, timestore: Timestore) -> None:
    """Values that cannot be compressed, so that each batch fills blocks of its own."""
    drawn = random.Random(1)
    values = [[drawn.getrandbits(60) for _ in range(8_000)] for _ in range(6)]
    with StagingManager.open(settings) as staging:
        ids = [staging.enqueue("d", pa.table({"n": batch})).batch_id for batch in values]
    [path] = roll_up_all(timestore.area)
    flip(path, path.stat().st_size // 2)
    assert flush(timestore) is not None
    aside = quarantined(timestore)
    assert 1 <= len(aside) <= 2
    whole = [batch for identity, batch in zip(ids, values, strict=True) if identity not in aside]
    assert published(timestore) == sorted(n for batch in whole for n in batch)
    assert verify(timestore.area, timestore.lake).ok


def test_a_truncated_segment_is_set_aside(settings: Settings, timestore: Timestore) -> None:
    ids = stage(settings, 5)
    path = segment_of(timestore)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    drain(timestore)
    assert_accounted_for(timestore, ids)
    [incident] = timestore.area.ledger.incidents.all("d")
    assert (incident.kind, incident.reason) == (IncidentKind.SEGMENT, IncidentReason.DAMAGED)
    assert timestore.area.directory.quarantined("d", path.stem).read_bytes() == content[: len(content) // 2]


def test_a_missing_segment_is_named_and_the_others_are_published(settings: Settings, timestore: Timestore) -> None:
    lost = stage(settings, 3)
    path = segment_of(timestore)
    stage(settings, 2, first=3)
    path.unlink()
    flushed = flush(timestore)
    assert flushed is not None
    assert flushed.volume.batches == 2
    assert published(timestore) == numbers([3, 4])
    assert quarantined(timestore) == set(lost)
    [incident] = timestore.area.ledger.incidents.all("d")
    assert incident.reason is IncidentReason.MISSING


def test_a_flush_with_nothing_left_says_so_and_counts_no_failure(settings: Settings, timestore: Timestore) -> None:
    stage(settings, 3)
    segment_of(timestore).write_bytes(b"rot" * 9_000)
    with pytest.raises(AllSetAside, match="published nothing") as raised:
        flush(timestore)
    assert "quarantine list d" in raised.value.hint
    backlog = timestore.status("d").backlog
    assert (backlog.failures, backlog.queued.batches, backlog.quarantined.batches) == (0, 0, 3)


def test_a_salvaged_batch_keeps_its_id_in_the_ledger_and_in_its_file(settings: Settings, timestore: Timestore) -> None:
    ids = stage(settings, 2)
    path = segment_of(timestore)
    with duckdb.connect(path) as damaged:
        damaged.execute("DELETE FROM rows WHERE n = 3")
    timestore.pipeline.export(claimed(timestore), timestore.export_options())
    with duckdb.connect(segment_of(timestore), read_only=True) as copy:
        [(header,)] = copy.execute("SELECT segment_id FROM segment").fetchall()
        [(told,)] = copy.execute("SELECT __timestore_commit FROM rows WHERE __timestore_batch = -1").fetchall()
    assert header == segment_of(timestore).stem != path.stem
    assert [batch["batch_id"] for batch in json.loads(told)] == [ids[1]]
    assert timestore.area.ledger.batches.of_flush(FlushRef("d", 1)) == {(header, 1): ids[1]}


def test_a_copy_that_is_damaged_in_turn_is_set_aside_like_any_other(settings: Settings, timestore: Timestore) -> None:
    ids = stage(settings, 2)
    with duckdb.connect(segment_of(timestore)) as damaged:
        damaged.execute("DELETE FROM rows WHERE n = 3")
    ref = claimed(timestore)
    [segment_id] = timestore.area.ledger.flushes.claimed_segments(ref)
    segment = timestore.area.ledger.segments.get(segment_id)
    assert segment is not None
    assert set_aside_if_damaged(timestore.area, segment) is not None
    segment_of(timestore).write_bytes(b"rot" * 9_000)
    with pytest.raises(AllSetAside):
        timestore.pipeline.export(ref, timestore.export_options())
    assert quarantined(timestore) == set(ids)
    assert_accounted_for(timestore, ids)


def test_a_repaired_file_can_be_requeued(settings: Settings, timestore: Timestore) -> None:
    ids = stage(settings, 5)
    path = segment_of(timestore)
    sound = path.read_bytes()
    path.write_bytes(b"rot" * 9_000)
    drain(timestore)
    timestore.area.directory.quarantined("d", path.stem).write_bytes(sound)
    [incident] = timestore.area.ledger.incidents.all("d")
    assert requeue(timestore.area, incident.incident_id)
    assert not requeue(timestore.area, incident.incident_id)
    drain(timestore)
    assert_accounted_for(timestore, ids)
    assert published(timestore) == numbers(range(5))
    assert list(timestore.area.directory.quarantine_folder("d").iterdir()) == []
