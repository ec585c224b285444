"""Leftovers of dead processes are settled, and the files of living ones stay."""

from __future__ import annotations

from pathlib import Path

from tests.cli.running import complaint, journal_of, producer, staged, timestore, timestore_json
from timestore_pipeline.model.flush import FlushRef, Trigger
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore


def left_in_flight(*, publish: bool) -> FlushRef:
    """A flush whose process ended before it was finalized."""
    with Timestore(Settings.from_env()) as store:
        ref = store.pipeline.claim("weather", Trigger.MANUAL, "test").ref
        assert ref is not None
        store.pipeline.export(ref, store.export_options())
        if publish:
            store.pipeline.publish(ref)
    return ref


def test_nothing_to_recover_is_success(home: Path) -> None:
    output = timestore("recover")
    assert output == "0 drained segments and 0 spool leftovers removed, 0 dead processes forgotten\n"


def test_what_a_killed_writer_staged_is_rolled_up(home: Path) -> None:
    with producer(rows=5) as process:
        process.kill()
        process.wait()
    document = timestore_json("recover")
    assert len(document["rolled_up"]) == 1
    assert (document["left_out"], document["forgotten_processes"]) == ([], 1)
    assert timestore_json("verify")["datasets"][0]["pending_rows"] == 5
    assert timestore_json("flush", "weather", "--now")["flushes"][0]["rows"] == 5


def test_what_a_living_producer_appends_to_is_left_to_it_and_a_dead_ones_journal_is_rolled_up(home: Path) -> None:
    with producer(rows=5) as process:
        document = timestore_json("recover")
        assert (document["rolled_up"], document["forgotten_processes"]) == ([], 0)
        assert journal_of(home).exists()
        process.kill()
        process.wait()
        assert len(timestore_json("recover")["rolled_up"]) == 1


def test_a_record_that_cannot_be_read_is_named(home: Path) -> None:
    with producer(rows=5) as process:
        process.kill()
        process.wait()
    journal = journal_of(home)
    journal.write_bytes(torn := journal.read_bytes()[:-50])
    assert f"1 batch of 5 rows set aside (damaged journal {journal.stem})" in complaint("recover")
    assert journal.read_bytes() == torn
    assert timestore_json("recover")["set_aside"] == []


def test_an_interrupted_flush_ends_as_the_log_says(home: Path) -> None:
    staged(home)
    left_in_flight(publish=True)
    assert timestore("recover").startswith("weather: flush 1 was interrupted, now published\n")
    assert timestore_json("verify")["datasets"][0]["published_rows"] == 40


def test_an_interrupted_flush_that_published_nothing_is_pending_again(home: Path) -> None:
    staged(home)
    left_in_flight(publish=False)
    assert timestore_json("recover")["settled"] == [{"dataset": "weather", "epoch": 1, "state": "aborted"}]
    assert timestore_json("verify")["datasets"][0]["pending_rows"] == 40


def test_a_lake_that_cannot_tell_for_one_dataset_does_not_keep_the_others_waiting(home: Path) -> None:
    staged(home, dataset="planes")
    timestore("flush", "planes", "--now")
    staged(home, rows=50, dataset="planes")
    with Timestore(Settings.from_env()) as store:
        ref = store.pipeline.claim("planes", Trigger.MANUAL, "test").ref
        assert ref is not None
        store.pipeline.export(ref, store.export_options())
    (home / "lake" / "planes" / "_delta_log" / f"{0:020d}.json").write_text("{")
    staged(home)
    left_in_flight(publish=True)
    document = timestore_json("recover", code=1)
    assert [one["dataset"] for one in document["settled"]] == ["weather"]
    assert len(document["errors"]) == 1


def test_leftovers_in_the_spool_are_removed(home: Path) -> None:
    staged(home)
    ref = left_in_flight(publish=True)
    spool = home / "staging" / "spool"
    (spool / f"{ref.dataset}-{ref.epoch}-abcd_123").mkdir()
    (spool / "timestore-upload").mkdir()
    document = timestore_json("recover")
    assert document["spool_removed"] == ["timestore-upload", "weather-1-abcd_123"]
    assert list(spool.iterdir()) == []


def test_the_spool_of_a_living_flush_is_left_alone(home: Path) -> None:
    staged(home)
    with Timestore(Settings.from_env()) as store:
        ref = store.pipeline.claim("weather", Trigger.MANUAL, "test").ref
        assert ref is not None
        spill = home / "staging" / "spool" / f"weather-{ref.epoch}-abcd_123"
        for path in (spill, spill.with_name("timestore-upload")):
            path.mkdir()
        assert timestore_json("recover")["spool_removed"] == []
        assert spill.exists()
