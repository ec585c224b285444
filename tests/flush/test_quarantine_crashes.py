"""Killed at any step of setting aside, requeueing or discarding: the next flush finishes it, the books are right."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pytest

from tests.flush.conftest import published
from tests.flush.damaging import (
    assert_accounted_for,
    drain,
    flush_failing,
    numbers,
    poison,
    quarantined,
    segment_of,
    stage,
)
from tests.flush.dying_aside import victim
from tests.services.forked import run_forked
from timestore_pipeline import Settings
from timestore_pipeline.errors import Fenced
from timestore_pipeline.flush.export_with_quarantine import ATTEMPTS_BEFORE_ISOLATION
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.staging import quarantine
from timestore_pipeline.wiring import Timestore


def die_at(settings: Settings, point: str, moment: str, deed: str = "flush") -> None:
    code = run_forked(victim, settings.home, point, moment, deed)
    assert code == -signal.SIGKILL, f"the fault at {point!r} did not fire"


@contextmanager
def reopened(settings: Settings) -> Iterator[Timestore]:
    """As the next process finds it, with nothing half done left over at the end."""
    with Timestore(settings) as store:
        recover(store.area, store.lake)
        yield store
        names = {record.segment_id for record in store.area.ledger.segments.of_dataset("d")}
        assert {path.stem for path in store.area.directory.segment_folder("d").iterdir()} <= names
        assert verify(store.area, store.lake).ok


def damaged(settings: Settings) -> tuple[list[str], str]:
    """Five batches, of which the segment has lost one row of the third; and the segment's id."""
    ids = stage(settings, 5)
    with Timestore(settings) as store, duckdb.connect(path := segment_of(store)) as segment:
        segment.execute("DELETE FROM rows WHERE n = 23")
    return ids, path.stem


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "point", ["examine", "register copy", "copy rows", "check copy", "copy", "segment aside", "move"]
)
def test_setting_a_segment_aside(settings: Settings, point: str, moment: str) -> None:
    ids, segment_id = damaged(settings)
    die_at(settings, point, moment)
    with reopened(settings) as store:
        drain(store)
        assert quarantined(store) == {ids[2]}
        assert_accounted_for(store, ids)
        [aside] = store.area.directory.quarantine_folder("d").iterdir()
        assert aside.stem == segment_id


@pytest.mark.parametrize("moment", ["before", "after"])
def test_setting_a_batch_aside(settings: Settings, moment: str) -> None:
    ids = stage(settings, 4)
    with Timestore(settings) as store:
        poison(segment_of(store), [1])
        flush_failing(store, ATTEMPTS_BEFORE_ISOLATION)
    die_at(settings, "batches aside", moment)
    with reopened(settings) as store:
        drain(store)
        assert quarantined(store) == {ids[1]}
        assert_accounted_for(store, ids)


@pytest.fixture
def incident(settings: Settings) -> list[str]:
    """Incident 1, whose file has been repaired meanwhile; ids of all batches, the first of which are published."""
    stage(settings, 2)
    with Timestore(settings) as store:
        path = segment_of(store)
        sound = path.read_bytes()
        path.write_bytes(b"rot" * 9_000)
        drain(store)
        store.area.directory.quarantined("d", path.stem).write_bytes(sound)
    return stage(settings, 1, first=2)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", ["requeue", "move"])
def test_requeueing_a_segment(settings: Settings, incident: list[str], point: str, moment: str) -> None:
    die_at(settings, point, moment, "requeue")
    with reopened(settings) as store:
        quarantine.requeue(store.area, 1)
        drain(store)
        assert published(store) == numbers(range(3))
        assert list(store.area.directory.quarantine_folder("d").iterdir()) == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", ["discard", "given up"])
def test_discarding_a_segment(settings: Settings, incident: list[str], point: str, moment: str) -> None:
    die_at(settings, point, moment, "discard")
    with reopened(settings) as store:
        quarantine.discard(store.area, 1)
        drain(store)
        assert published(store) == numbers([2])
        assert list(store.area.directory.quarantine_folder("d").iterdir()) == []
        with pytest.raises(Fenced):
            quarantine.requeue(store.area, 1)
