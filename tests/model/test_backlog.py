"""Properties derived from a backlog's numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from timestore_pipeline.model.batch import Volume, batch_id
from timestore_pipeline.model.flush import Backlog, FlushRef, Trigger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = Backlog("d", Volume(), Volume(), Volume(), None, None, 0)


def test_in_flight_batches_count_as_queued() -> None:
    backlog = replace(EMPTY, pending=Volume(1, 10, 100), in_flight=Volume(2, 20, 200), quarantined=Volume(4, 40, 400))
    assert backlog.queued == Volume(3, 30, 300)


def test_age_is_zero_without_batches_and_when_the_clock_went_back() -> None:
    assert EMPTY.oldest_age(NOW) == timedelta(0)
    assert replace(EMPTY, oldest_staged_at=NOW + timedelta(hours=1)).oldest_age(NOW) == timedelta(0)


def test_age_is_that_of_the_oldest_batch() -> None:
    assert replace(EMPTY, oldest_staged_at=NOW - timedelta(seconds=5)).oldest_age(NOW) == timedelta(seconds=5)


def test_only_a_claim_whose_process_is_gone_is_interrupted() -> None:
    assert not EMPTY.interrupted
    assert replace(EMPTY, claim_trigger=Trigger.AGE).interrupted
    assert not replace(EMPTY, claim_trigger=Trigger.AGE, claim_owner_alive=True).interrupted


def test_a_batch_id_says_where_its_rows_lie() -> None:
    assert batch_id("abc", 7) == "abc-000007"


def test_a_claims_name_survives_a_trip_through_plain_values() -> None:
    assert FlushRef.from_dict(FlushRef("d", 3).to_dict()) == FlushRef("d", 3)
