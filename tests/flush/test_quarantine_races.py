"""Several processes that set aside, or decide on, the same thing at once: it happens once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from tests.flush.damaging import (
    assert_accounted_for,
    drain,
    journal_of,
    lose_end,
    quarantined,
    segment_of,
    stage,
    stage_in_journal,
)
from tests.flush.stopping import stopped_flush, wake_up
from tests.services.forked import script
from timestore_pipeline import Settings
from timestore_pipeline.wiring import Timestore

_TOGETHER = """
import sys
from timestore_pipeline import Settings
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.recovery.shard_recovery import recover
from timestore_pipeline.staging import quarantine
from timestore_pipeline.wiring import Timestore
with Timestore(Settings.build(home=sys.argv[1])) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    if sys.argv[2] == "recover":
        print(len(recover(store.area, store.lake).set_aside))
    else:
        try:
            print(int(getattr(quarantine, sys.argv[2])(store.area, 1)))
        except TimestoreError as error:
            print(error.code)
"""


def together(settings: Settings, *deeds: str) -> list[str]:
    """What each of several processes answers that are let go at the same moment."""
    with ExitStack() as running:
        processes = [running.enter_context(script(_TOGETHER, settings.home, deed)) for deed in deeds]
        for process in processes:
            process.wait_for_line("ready")
        for process in processes:
            process.tell("go")
        return [process.finish().strip() for process in processes]


@pytest.fixture
def impatient(settings: Settings) -> Iterator[Timestore]:
    """A flusher of its own, whose lease a test may shorten."""
    with Timestore(settings) as opened:
        yield opened


@pytest.mark.parametrize("lost", [lose_end, Path.unlink], ids=["damaged", "missing"])
def test_what_a_journal_has_lost_is_set_aside_by_one_of_many(
    settings: Settings, timestore: Timestore, lost: Callable[[Path], None]
) -> None:
    ids = stage_in_journal(settings, 5)
    lost(journal_of(timestore))
    assert sorted(together(settings, "recover", "recover", "recover")) == ["0", "0", "1"]
    drain(timestore)
    assert quarantined(timestore) == set(ids if lost is Path.unlink else ids[4:])
    assert_accounted_for(timestore, ids)


LATER = [("salvage", "before"), ("set aside", "before"), ("set aside", "after"), ("move", "before")]
STOPS = [("salvage", "after"), *(pytest.param(*stop, marks=pytest.mark.nightly) for stop in LATER)]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_who_wakes_up_after_his_lease_while_setting_a_record_aside_changes_nothing(
    settings: Settings, impatient: Timestore, timestore: Timestore, moment: str
) -> None:
    ids = stage_in_journal(settings, 5)
    lose_end(journal_of(timestore))
    with stopped_flush(settings, "record aside", moment) as stopped:
        impatient.area.lease = timedelta(0)
        drain(impatient)
        assert wake_up(stopped) == "fenced"
    drain(timestore)
    assert quarantined(timestore) == {ids[4]}
    assert len(timestore.area.ledger.incidents.all("d")) == 1
    assert_accounted_for(timestore, ids)


@pytest.mark.parametrize(("point", "moment"), STOPS)
def test_who_wakes_up_after_his_lease_while_setting_a_claimed_segment_aside_changes_nothing(
    settings: Settings, impatient: Timestore, timestore: Timestore, point: str, moment: str
) -> None:
    ids = stage(settings, 5)
    with duckdb.connect(segment_of(timestore)) as connection:
        connection.execute("DELETE FROM rows WHERE __timestore_batch = 4")
    with stopped_flush(settings, point, moment) as stopped:
        impatient.area.lease = timedelta(0)
        drain(impatient)
        assert wake_up(stopped) == "fenced"
    drain(timestore)
    assert quarantined(timestore) == {ids[4]}
    assert_accounted_for(timestore, ids)


@pytest.mark.parametrize("deed", ["discard", "requeue"])
def test_one_of_many_decides(settings: Settings, deed: str, timestore: Timestore) -> None:
    stage(settings, 2)
    path = segment_of(timestore)
    sound = path.read_bytes()
    path.write_bytes(b"rot" * 9_000)
    drain(timestore)
    timestore.area.directory.quarantined("d", path.stem).write_bytes(sound)
    assert sorted(together(settings, deed, deed, deed)) == ["0", "0", "1"]
    drain(timestore)
    assert list(timestore.area.directory.quarantine_folder("d").iterdir()) == []
    assert timestore.status("d").backlog.queued.batches == 0


def test_either_requeue_or_discard_wins(settings: Settings, timestore: Timestore) -> None:
    stage(settings, 2)
    path = segment_of(timestore)
    sound = path.read_bytes()
    path.write_bytes(b"rot" * 9_000)
    drain(timestore)
    timestore.area.directory.quarantined("d", path.stem).write_bytes(sound)
    answers = together(settings, "requeue", "discard")
    assert sorted(answers) in (["1", "fenced"], ["1", "unreadable_segment"])
    drain(timestore)
    totals = timestore.area.ledger.audit.totals("d").kept
    state = "published" if answers[0] == "1" else "discarded"
    assert totals[state].batches == totals["accepted"].batches == 2
