"""Producers that live, are silent or dead, and recoveries that stop while they roll up: each a real process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.flush.conftest import published
from tests.flush.damaging import assert_accounted_for, flush, stage_in_journal
from tests.flush.owners import start_owner
from tests.flush.stopping import stopped_recovery, wake_up
from tests.services.forked import Script
from timestore_pipeline import Settings
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

__all__ = ["start_owner"]  # a fixture is found by its name in this module


def test_what_a_live_owner_staged_is_published_while_it_writes_on(
    start_owner: Callable[[int], Script], timestore: Timestore
) -> None:
    owner = start_owner(0)
    flush(timestore)
    assert published(timestore) == list(range(10))
    owner.tell("10")
    owner.wait_for_line("staged")
    flush(timestore)
    assert published(timestore) == list(range(20))
    assert owner.finish() == ""


def test_what_a_dead_owner_staged_is_published_and_its_journal_removed(
    start_owner: Callable[[int], Script], timestore: Timestore
) -> None:
    start_owner(0).kill()
    flush(timestore)
    assert published(timestore) == list(range(10))
    assert timestore.area.directory.journal_files() == []


def test_a_silent_owner_keeps_no_flush_from_what_it_staged(
    start_owner: Callable[[int], Script], timestore: Timestore
) -> None:
    silent, _working = start_owner(0), start_owner(10)
    os.kill(silent.pid, signal.SIGSTOP)
    claim = timestore.pipeline.claim("d", Trigger.MANUAL, "run")
    assert claim.ref is not None
    assert claim.left_out == ()
    timestore.pipeline.export(claim.ref, timestore.export_options())
    timestore.pipeline.finalize(claim.ref, timestore.pipeline.publish(claim.ref))
    assert published(timestore) == list(range(20))
    os.kill(silent.pid, signal.SIGCONT)
    silent.tell("20")
    silent.wait_for_line("staged")
    flush(timestore)
    assert published(timestore) == list(range(30))


STOPS = [("roll up", "before"), ("roll up", "after"), ("roll-up's move", "before"), ("roll-up's move", "after")]


@pytest.mark.parametrize(("point", "moment"), STOPS)
def test_who_stops_while_rolling_up_keeps_no_flush_waiting_and_doubles_nothing(
    settings: Settings, timestore: Timestore, point: str, moment: str
) -> None:
    ids = stage_in_journal(settings, 3)
    with stopped_recovery(settings, point, moment) as stopped:
        flush(timestore)
        assert_accounted_for(timestore, ids)
        assert wake_up(stopped) == "ok"
    flush(timestore)
    assert_accounted_for(timestore, ids)
    assert list(timestore.area.directory.segment_folder("d").glob("*")) == []
    assert timestore.area.directory.journal_files() == []


@pytest.mark.parametrize(("point", "moment"), STOPS)
def test_who_dies_while_rolling_up_is_followed_by_the_next(
    settings: Settings, timestore: Timestore, point: str, moment: str
) -> None:
    ids = stage_in_journal(settings, 3)
    with stopped_recovery(settings, point, moment) as stopped:
        stopped.kill()
    flush(timestore)
    assert_accounted_for(timestore, ids)
    assert list(timestore.area.directory.segment_folder("d").glob("*")) == []
    assert timestore.area.directory.journal_files() == []


def test_a_segment_that_was_never_built_is_forgotten(timestore: Timestore) -> None:
    record = timestore.area.ledger.datasets.ensure("d")
    timestore.area.ledger.segments.register("0123", record.dataset_id, "gone")
    assert flush(timestore) is None
    assert timestore.area.ledger.segments.of_dataset("d") == []
