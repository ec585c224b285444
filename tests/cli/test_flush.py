"""Flushing by hand: requested, at once, and until nothing is left."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.cli.running import complaint, journal_of, producer, segment_of, staged, timestore, timestore_json
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK, claim_contents
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


def pending(dataset: str = "weather") -> int:
    [status] = timestore_json("status", dataset)["datasets"]
    return int(status["pending"]["rows"])


def test_a_request_makes_the_dataset_due(home: Path) -> None:
    staged(home)
    assert timestore_json("flush", "weather") == {
        "requested": ["weather"], "in_flight": [], "nothing_staged": [], "sensor_late": True,
    }  # fmt: skip
    assert timestore_json("explain", "weather")["trigger"] == "manual"
    assert pending() == 40


def test_a_request_says_when_no_sensor_will_pick_it_up(home: Path) -> None:
    staged(home)
    assert "no flush sensor has run" in complaint("flush", "weather", code=0)


def test_a_request_is_quiet_when_the_sensor_ticks(home: Path) -> None:
    staged(home)
    with Timestore(Settings.from_env()) as store:
        store.area.ledger.set_meta(SENSOR_LAST_TICK, str(clock.to_micros(clock.now())))
    assert complaint("flush", "weather", code=0) == ""


def test_a_request_for_an_empty_dataset_does_not_lie_in_wait(home: Path) -> None:
    staged(home)
    timestore("flush", "weather", "--now")
    assert timestore("flush", "weather") == "weather: nothing is staged\n"
    assert timestore_json("explain", "weather")["manual_requested_at"] is None


def test_one_command_takes_as_many_flushes_as_it_needs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_contents, "MOST_BATCHES", 1)
    staged(home)
    done = timestore_json("flush", "weather", "--now")
    assert (len(done["flushes"]), done["nothing_staged"], pending()) == (4, [], 0)


def test_nothing_staged_is_success(home: Path) -> None:
    staged(home)
    timestore("flush", "weather", "--now")
    assert timestore("flush", "weather", "--now") == "weather: nothing is staged\n"
    assert timestore_json("flush", "weather", "--now")["nothing_staged"] == ["weather"]


def test_all_flushes_every_dataset(home: Path) -> None:
    staged(home, dataset="weather")
    staged(home, dataset="planes")
    flushes = timestore_json("flush", "--all", "--now")["flushes"]
    assert [flush["dataset"] for flush in flushes] == ["planes", "weather"]


@pytest.mark.parametrize("arguments", [[], ["weather", "--all"]])
def test_either_names_or_all(home: Path, arguments: list[str]) -> None:
    assert "name at least one dataset, or give --all" in complaint("flush", *arguments, code=2)


def test_an_unknown_dataset_flushes_none(home: Path) -> None:
    staged(home)
    complaint("flush", "weather", "nowhere", "--now")
    assert pending() == 40


def test_a_paused_dataset_is_flushed_by_hand(home: Path) -> None:
    staged(home)
    assert timestore("pause", "weather") == "weather: paused\n"
    timestore("flush", "weather", "--now")
    assert timestore("resume", "weather") == "weather: resumed\n"
    assert pending() == 0


def test_a_living_writers_segment_is_flushed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with producer(rows=5):
        [flush] = timestore_json("flush", "weather", "--now")["flushes"]
    assert flush["rows"] == 5


def test_a_writer_that_does_not_answer_is_flushed_like_any_other(home: Path) -> None:
    staged(home, rows=40)
    with producer(rows=5) as process:
        process.send_signal(signal.SIGSTOP)
        document = timestore_json("flush", "weather", "--now")
    assert [flush["rows"] for flush in document["flushes"]] == [45]
    assert document["left_out"] == []


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files put into it cannot be opened: as an ordinary user's process finds another user's."""
    refused: list[Path] = []
    opened = os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if path in refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    return refused


def test_a_journal_that_cannot_be_read_now_is_named(home: Path, unreadable: list[Path]) -> None:
    staged(home, rows=10)
    unreadable.append(journal := journal_of(home))
    staged(home, rows=40)
    document = timestore_json("flush", "weather", "--now")
    assert sum(flush["rows"] for flush in document["flushes"]) == 30  # ten have the keys of the first ten
    assert document["left_out"][0]["journal_id"] == journal.stem
    assert str(journal) in document["left_out"][0]["reason"]
    assert str(journal) in complaint("flush", "weather", "--now")  # nothing else is left: it failed


def test_a_journal_that_is_gone_is_the_commands_error(home: Path) -> None:
    staged(home)
    journal_of(home).unlink()
    error = timestore_json("flush", "weather", "--now", code=1)["error"]
    assert error["code"] == "all_set_aside"
    assert "quarantine list weather" in error["hint"]


def test_a_broken_dataset_does_not_keep_the_others_from_being_flushed(home: Path) -> None:
    staged(home, dataset="weather")
    staged(home, dataset="planes")
    segment = segment_of(home, "planes")
    segment.unlink()
    document = timestore_json("flush", "--all", "--now", code=1)
    assert [flush["dataset"] for flush in document["flushes"]] == ["weather"]
    assert [error["code"] for error in document["errors"]] == ["all_set_aside"]


def test_one_broken_dataset_is_the_commands_error(home: Path) -> None:
    staged(home)
    segment = segment_of(home, "weather")
    segment.unlink()
    assert timestore_json("flush", "weather", "--now", code=1)["error"]["code"] == "all_set_aside"


def test_drain_leaves_nothing(home: Path) -> None:
    staged(home, dataset="weather")
    staged(home, dataset="planes")
    document = timestore_json("drain", "--timeout", "60")
    assert document["drained"]
    assert sum(flush["rows"] for flush in document["flushes"]) == 80
    assert pending("weather") == pending("planes") == 0


def test_drain_takes_only_what_is_named(home: Path) -> None:
    staged(home, dataset="weather")
    staged(home, dataset="planes")
    timestore("drain", "weather", "--timeout", "60")
    assert (pending("weather"), pending("planes")) == (0, 40)


def test_drain_settles_a_flush_whose_process_is_gone(home: Path) -> None:
    staged(home)
    store = Timestore(Settings.from_env())
    store.pipeline.claim("weather", Trigger.MANUAL, "test")
    store.close()
    timestore("drain", "--timeout", "60")
    assert timestore_json("verify")["datasets"][0]["published_rows"] == 40


def test_drain_takes_what_a_writer_staged_that_does_not_answer(home: Path) -> None:
    with producer(rows=5) as process:
        process.send_signal(signal.SIGSTOP)
        assert timestore_json("drain", "--timeout", "60")["drained"]
    assert pending() == 0


def test_drain_says_which_journal_is_in_the_way(home: Path, unreadable: list[Path]) -> None:
    staged(home)
    unreadable.append(journal_of(home))
    message = complaint("drain", "--timeout", "0.1")
    assert str(unreadable[0]) in message
    assert "access_denied" in message


def test_drain_waits_for_a_flush_of_someone_else(home: Path) -> None:
    staged(home)
    with Timestore(Settings.from_env()) as other:
        other.pipeline.claim("weather", Trigger.MANUAL, "test")
        error = timestore_json("drain", "--timeout", "0", code=1)["error"]
    assert (error["code"], error["dataset"]) == ("drain_timeout", "weather")
    assert "40 in flight" in error["message"]


def test_drain_fails_when_something_was_set_aside_and_empties_the_others(home: Path) -> None:
    staged(home, dataset="weather")
    staged(home, dataset="planes")
    segment = segment_of(home, "planes")
    segment.unlink()
    assert timestore_json("drain", "--timeout", "60", code=1)["quarantined_batches"] == 4
    assert "not published: 4 batches" in complaint("drain", "--timeout", "60")
    assert pending("weather") == 0


def test_drain_waits_for_nothing_that_only_a_person_can_mend_and_names_all_of_it(home: Path) -> None:
    for dataset in ("weather", "planes", "flights"):
        staged(home, dataset=dataset)
    for dataset in ("planes", "flights"):
        (home / "lake" / dataset).parent.mkdir(exist_ok=True)
        (home / "lake" / dataset).write_text("in the way")
    error = timestore_json("drain", "--timeout", "600", code=1)["error"]
    assert error["code"] == "not_drained"
    assert all(str(home / "lake" / dataset) in error["message"] for dataset in ("planes", "flights"))
    assert "move it out of the lake" in error["hint"]
    assert (pending("weather"), pending("planes")) == (0, 40)


def test_drain_goes_on_until_a_bad_batch_is_found_and_set_aside(home: Path) -> None:
    staged(home)
    segment = segment_of(home, "weather")
    with duckdb.connect(segment) as connection:
        connection.execute("ALTER TABLE rows ALTER value TYPE VARCHAR")
        connection.execute("UPDATE rows SET value = 'poison' WHERE __timestore_batch = 1")
    assert timestore_json("drain", "--timeout", "600", code=1)["quarantined_batches"] == 1
    assert pending() == 0


def test_the_history_is_newest_first(home: Path) -> None:
    staged(home, dataset="weather")
    timestore("flush", "weather", "--now")
    staged(home, dataset="planes")
    timestore("flush", "planes", "--now")
    flushes = timestore_json("flushes")["flushes"]
    assert [flush["dataset"] for flush in flushes] == ["planes", "weather"]
    assert [flush["dataset"] for flush in timestore_json("flushes", "weather")["flushes"]] == ["weather"]
    assert len(timestore_json("flushes", "--most", "1")["flushes"]) == 1


def test_an_empty_history_is_no_error(home: Path) -> None:
    assert timestore("flushes") == "no flushes yet\n"
    complaint("flushes", "nowhere")
