"""The same past under other thresholds: sizes, ages, and where wishes contradict each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from timestore_pipeline.errors import TooLittleHistory
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import Flush, FlushState, Trigger
from timestore_pipeline.model.thresholds import FlushThresholds
from timestore_pipeline.staging.ledger.batch_history import Arrival
from timestore_pipeline.tools.threshold_advice import History, Wish, propose, replay

_START = datetime(2026, 1, 1, tzinfo=UTC)
_DEFAULTS = FlushThresholds(1_000_000, 134_217_728, timedelta(minutes=1))
_AT_ONCE = timedelta(0)


def arriving(count: int, every: float = 1.0, size: int = 1_000_000) -> list[Arrival]:
    """A batch of 1,000 rows every so many seconds."""
    return [Arrival(_START + timedelta(seconds=every * number), 1000, size) for number in range(count)]


def flush(epoch: int, size: int = 10_000_000, files: int = 2, shrinkage: float = 0.2, took: float = 2.0) -> Flush:
    return Flush(
        "d", epoch, FlushState.PUBLISHED, Trigger.AGE, "run", "owner", Volume(10, 10_000, size), _START,
        _START + timedelta(seconds=took), None, files, int(size * shrinkage),
    )  # fmt: skip


@pytest.fixture
def history() -> History:
    """An hour of 1 MB a second; a flush takes 2 s and makes two files of a fifth of what was staged."""
    return History.of("d", arriving(3600), [flush(epoch) for epoch in range(1, 6)])


def test_history_is_measured(history: History) -> None:
    assert history.bytes_per_second == pytest.approx(1e6, rel=0.001)
    assert (history.bytes_per_row, history.files_per_flush, history.flush_seconds) == (1000, 2, 2)
    assert history.shrinkage == pytest.approx(0.2)
    assert history.file_of(history.staged_for(5e6)) == pytest.approx(5e6)


@pytest.mark.parametrize(("batches", "flushes"), [(9, 3), (10, 2), (0, 0)])
def test_too_little_history_is_refused(batches: int, flushes: int) -> None:
    with pytest.raises(TooLittleHistory, match="are too few"):
        History.of("d", arriving(batches), [flush(epoch) for epoch in range(flushes)])


def test_flushes_that_were_aborted_say_nothing() -> None:
    aborted = Flush("d", 1, FlushState.ABORTED, Trigger.AGE, "run", "o", Volume(), _START, _START, "error")
    with pytest.raises(TooLittleHistory):
        History.of("d", arriving(100), [aborted] * 5)


def test_age_flushes_what_came_until_it_was_due() -> None:
    age = FlushThresholds(0, 0, timedelta(seconds=9.5))
    assert [f.bytes for f in replay(arriving(31), age, _AT_ONCE)] == [10_000_000, 10_000_000, 10_000_000]
    assert {f.age.total_seconds() for f in replay(arriving(31), age, _AT_ONCE)} == {9.5}


def test_bytes_and_rows_flush_when_they_are_reached() -> None:
    by_bytes, by_rows = FlushThresholds(0, 3_000_000, _AT_ONCE), FlushThresholds(3000, 0, _AT_ONCE)
    assert [f.bytes for f in replay(arriving(10), by_bytes, _AT_ONCE)] == [3_000_000] * 3
    assert [f.bytes for f in replay(arriving(10), by_rows, _AT_ONCE)] == [3_000_000] * 3


def test_what_arrives_until_a_flush_begins_goes_with_it() -> None:
    by_bytes = FlushThresholds(0, 3_000_000, _AT_ONCE)
    assert [f.bytes for f in replay(arriving(11), by_bytes, timedelta(seconds=2))] == [5_000_000] * 2


def test_what_never_became_due_is_left_out() -> None:
    assert list(replay(arriving(5), FlushThresholds(0, 10**9, _AT_ONCE), _AT_ONCE)) == []


def test_fast_rows_get_files_of_the_wanted_size(history: History) -> None:
    proposal = propose(history, Wish(file_bytes=20e6, freshness=600), _DEFAULTS)
    assert proposal.proposed.max_bytes == 200_000_000  # two files of a fifth
    assert proposal.then.file_bytes == pytest.approx(21.5e6, rel=0.05)  # and what comes until the flush begins
    assert (proposal.then.age_seconds or 0) < 600
    assert proposal.conflicts == []


def test_freshness_that_makes_files_small_is_reported_with_numbers(history: History) -> None:
    proposal = propose(history, Wish(file_bytes=64e6, freshness=60), _DEFAULTS)
    assert proposal.proposed.max_age == timedelta(seconds=43)
    [conflict] = proposal.conflicts
    assert "60 s make files small: 5.9 MB instead of 64 MB" in conflict
    assert "at 60 MB staged a minute, files of that size need 11 min of waiting" in conflict


def test_freshness_that_no_threshold_gives_is_reported(history: History) -> None:
    proposal = propose(history, Wish(file_bytes=1e5, freshness=10), _DEFAULTS)
    assert (
        "no threshold gives 10 s: until a flush begins takes up to 15 s, the flush itself 2.0 s"
        in (proposal.conflicts[0])
    )
    assert proposal.proposed.max_age == timedelta(seconds=1)


def test_a_guardrail_bounds_the_proposal(history: History) -> None:
    proposal = propose(history, Wish(file_bytes=64e6, freshness=3600, guardrail=100_000_000), _DEFAULTS)
    assert proposal.proposed.max_bytes == 80_000_000
    assert "the guardrail of 100 MB does not let 640 MB be staged" in proposal.conflicts[0]


def test_the_command_applies_exactly_what_is_proposed(history: History) -> None:
    proposal = propose(history, Wish(file_bytes=20e6, freshness=617), _DEFAULTS)
    assert proposal.command == (
        "timestore datasets set d staging.flush.maxRows=250000 staging.flush.maxBytes=200000000"
        " staging.flush.maxAgeMs=600000"
    )
