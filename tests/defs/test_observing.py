"""Which queues are worth an observation: on change, at most once a minute, and never many at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from timestore_pipeline.defs import watch_tick
from timestore_pipeline.defs.watch_tick import MOST_OBSERVED, OBSERVE_EVERY, Observed, observations
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Backlog

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
LATER = NOON + OBSERVE_EVERY


def backlog(rows: int, dataset: str = "weather", disk: int = 0) -> Backlog:
    staged = NOON - timedelta(seconds=30) if rows else None
    return Backlog(dataset, Volume(min(rows, 1), rows, rows), Volume(), Volume(), staged, staged, disk_bytes=disk)


def seen(rows: int) -> dict[str, Observed]:
    return observations([backlog(rows)], {}, NOON, "shard-0")[1]


def observed(rows: int, before: dict[str, Observed], now: datetime) -> int:
    return len(observations([backlog(rows)], before, now, "shard-0")[0])


def test_a_queue_that_fills_is_observed_with_its_numbers() -> None:
    [event], _ = observations([backlog(7, disk=4_096)], {}, NOON, "shard-0")
    numbers = {name: entry.value for name, entry in event.metadata.items()}
    assert numbers == {
        "shard": "shard-0",
        "staged_rows": 7,
        "staged_batches": 1,
        "staged_bytes": 7,
        "in_flight_rows": 0,
        "quarantined_rows": 0,
        "oldest_age_seconds": 30.0,
        "staging_disk_bytes": 4_096,
    }


def test_an_empty_queue_is_not_observed() -> None:
    assert observations([backlog(0)], {}, NOON, "shard-0") == ([], {})


def test_nothing_is_observed_twice_within_a_minute() -> None:
    assert observed(100, seen(1), LATER - timedelta(seconds=1)) == 0


@pytest.mark.parametrize(("rows", "events"), [(10, 0), (11, 0), (19, 0), (20, 1), (6, 0), (5, 1), (0, 1)])
def test_a_change_is_something_that_doubled_halved_or_went(rows: int, events: int) -> None:
    assert observed(rows, seen(10), LATER) == events


def test_a_queue_that_ran_empty_is_forgotten_after_its_last_observation() -> None:
    assert observations([backlog(0)], seen(10), LATER, "shard-0")[1] == {}


def test_a_tick_observes_few_and_the_others_come_next() -> None:
    many = [backlog(1, f"d{number:02}") for number in range(MOST_OBSERVED + 3)]
    first, remembered = observations(many, {}, NOON, "shard-0")
    second, _ = observations(many, remembered, LATER, "shard-0")
    assert (len(first), len(second)) == (MOST_OBSERVED, 3)


def test_no_more_than_a_bounded_number_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_tick, "MOST_REMEMBERED", 2)
    events, remembered = observations([backlog(1, f"d{number}") for number in range(4)], {}, NOON, "shard-0")
    assert (len(events), set(remembered)) == (2, {"d0", "d1"})


def test_a_dataset_that_is_gone_is_forgotten() -> None:
    assert observations([], seen(10), LATER, "shard-0") == ([], {})
