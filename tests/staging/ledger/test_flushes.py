"""Claims: every transition in every state, and what each one moves and counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.staging.promises import START, batch, claimed, promise, seal, volumes
from timestore_pipeline.errors import Fenced, FlushInFlight, TimestoreError, UnknownDataset
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.model.flush import FlushRef, FlushState, RetryReason, Trigger
from timestore_pipeline.model.lake import ExportedFile, PartitionKey
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.exports import BatchShare
from timestore_pipeline.staging.ledger.flush_failures import retry_delay
from timestore_pipeline.system import clock

AT = datetime(2026, 1, 1, 5, tzinfo=UTC)
FILE = ExportedFile("day/a.parquet", 20, 99, PartitionKey("partition_date", "2026-01-01"), "{}", AT, AT)
SHARES = [BatchShare("s-000000", 0, 10), BatchShare("s-000001", 0, 10)]


@pytest.fixture
def ref(ledger: Ledger) -> FlushRef:
    """A claim of two batches in segment s; a third waits in an open segment."""
    promise(ledger, "d", "s", batch("s", 0), batch("s", 1))
    promise(ledger, "d", "open", batch("open", 2), sealed=False)
    return claimed(ledger)


def export(ledger: Ledger, ref: FlushRef) -> None:
    ledger.flushes.record_export(ref, [FILE], SHARES)


def finalize(ledger: Ledger, ref: FlushRef) -> bool:
    return ledger.flushes.finalize(ref, 7)


def abort(ledger: Ledger, ref: FlushRef) -> bool:
    return ledger.flushes.abort(ref, ledger.flushes.get(ref).state, "it broke", RetryReason.ERROR)


def adopt(ledger: Ledger, ref: FlushRef) -> None:
    ledger.flushes.adopt(ref, "heir", "flusher")


Step = Callable[[Ledger, FlushRef], object]
PATHS: dict[str, tuple[Step, ...]] = {
    "claimed": (),
    "exported": (export,),
    "published": (export, finalize),
    "aborted": (abort,),
    "aborted late": (export, abort),
}
_REFUSED = "refused"


@pytest.mark.parametrize(
    ("state", "step", "answer", "after"),
    [
        ("claimed", export, None, "exported"),
        ("claimed", finalize, _REFUSED, "claimed"),
        ("claimed", abort, True, "aborted"),
        ("claimed", adopt, None, "claimed"),
        ("exported", export, None, "exported"),
        ("exported", finalize, True, "published"),
        ("exported", abort, True, "aborted"),
        ("exported", adopt, None, "exported"),
        ("published", export, _REFUSED, "published"),
        ("published", finalize, False, "published"),
        ("published", abort, _REFUSED, "published"),
        ("published", adopt, _REFUSED, "published"),
        ("aborted", export, _REFUSED, "aborted"),
        ("aborted", finalize, _REFUSED, "aborted"),
        ("aborted", abort, False, "aborted"),
        ("aborted", adopt, _REFUSED, "aborted"),
        ("aborted late", finalize, _REFUSED, "aborted"),
        ("aborted late", abort, False, "aborted"),
    ],
)
def test_a_step_moves_forward_is_repeated_for_nothing_or_is_fenced(
    ledger: Ledger, ref: FlushRef, state: str, step: Step, answer: object, after: str
) -> None:
    for earlier in PATHS[state]:
        earlier(ledger, ref)
    before = volumes(ledger)
    if answer is _REFUSED:
        with pytest.raises(Fenced):
            step(ledger, ref)
    else:
        assert step(ledger, ref) is answer
    assert ledger.flushes.get(ref).state == FlushState(after)
    if answer in (_REFUSED, False):
        assert volumes(ledger) == before


@pytest.mark.parametrize("step", [export, finalize, abort, adopt, lambda ledger, ref: ledger.flushes.get(ref)])
def test_a_flush_that_never_was_is_fenced(ledger: Ledger, ref: FlushRef, step: Step) -> None:
    for stranger in (FlushRef("d", 99), FlushRef("unknown", 1)):
        with pytest.raises(Fenced, match="there is no flush"):
            step(ledger, stranger)


def test_a_claim_takes_what_is_sealed_and_leaves_the_rest(ledger: Ledger, ref: FlushRef) -> None:
    assert ledger.flushes.claimed_segments(ref) == {"s": [0, 1]}
    assert ledger.batches.rows_of_flush(ref) == {"s-000000": 10, "s-000001": 10}
    found = volumes(ledger)
    assert found == {"pending": Volume(1, 10, 80), "in_flight": Volume(2, 20, 160), "accepted": Volume(3, 30, 240)}
    flush = ledger.flushes.get(ref)
    assert (flush.epoch, flush.volume, flush.owner, flush.oldest_staged_at) == (1, Volume(2, 20, 160), "flusher", START)


def test_nothing_sealed_is_no_claim_and_costs_no_epoch(ledger: Ledger) -> None:
    promise(ledger, "d", "open", batch("open", 0), sealed=False)
    assert ledger.flushes.claim("d", Trigger.AGE, "run", "me") is None
    assert ledger.datasets.get("d").last_epoch == 0
    assert ledger.flushes.history() == []


def test_a_claim_of_an_unknown_dataset_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UnknownDataset):
        ledger.flushes.claim("x", Trigger.AGE, "run", "me")


@pytest.mark.parametrize("state", ["claimed", "exported"])
def test_a_dataset_has_one_claim_at_a_time(ledger: Ledger, ref: FlushRef, state: str) -> None:
    for step in PATHS[state]:
        step(ledger, ref)
    seal(ledger, "open")
    with pytest.raises(FlushInFlight, match="flush 1 of dataset 'd' is in flight"):
        ledger.flushes.claim("d", Trigger.AGE, "run", "me")
    assert ledger.datasets.get("d").last_epoch == 1


def test_epochs_only_grow(ledger: Ledger, ref: FlushRef) -> None:
    abort(ledger, ref)
    assert claimed(ledger).epoch == 2
    assert ledger.datasets.get("d").last_epoch == 2


def test_an_operators_request_stands_until_what_it_asked_for_is_published(ledger: Ledger) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    ledger.datasets.request_flush("d")
    abort(ledger, claimed(ledger))
    assert ledger.backlogs.of("d").manual_requested_at is not None
    again = claimed(ledger)
    export(ledger, again)
    ledger.flushes.finalize(again, 1)
    assert ledger.backlogs.of("d").manual_requested_at is None


def test_a_request_made_after_the_claim_is_for_the_next_flush(ledger: Ledger, ref: FlushRef) -> None:
    ledger.datasets.request_flush("d")
    export(ledger, ref)
    ledger.flushes.finalize(ref, 1)
    assert ledger.backlogs.of("d").manual_requested_at is not None


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_request_is_fulfilled_by_the_next_epoch_whatever_became_of_the_clock(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    promise(ledger, "d", "s", batch("s", 0))
    ledger.datasets.request_flush("d")
    moved = clock.now() + timedelta(hours=hours)
    monkeypatch.setattr(clock, "now", lambda: moved)
    ref = claimed(ledger)
    export(ledger, ref)
    ledger.flushes.finalize(ref, 1)
    assert ledger.backlogs.of("d").manual_requested_at is None


def test_publishing_moves_counts_and_remembers(ledger: Ledger, ref: FlushRef) -> None:
    ledger.flush_failures.postpone("d", datetime(2030, 1, 1, tzinfo=UTC))
    export(ledger, ref)
    finalize(ledger, ref)
    flush = ledger.flushes.get(ref)
    assert (flush.state, flush.version, flush.files, flush.file_bytes) == (FlushState.PUBLISHED, 7, 1, 99)
    assert (flush.min_time, flush.max_time) == (AT, AT)
    assert flush.duration is not None
    assert volumes(ledger)["published"] == Volume(2, 20, 160)
    assert "in_flight" not in volumes(ledger)
    row = ledger.backlogs.of("d")
    assert (row.failures, row.retry_at, row.claim_trigger) == (0, None, None)
    assert ledger.flushes.files(ref) == [FILE]


def test_aborting_returns_the_batches_and_counts_them_as_retried(ledger: Ledger, ref: FlushRef) -> None:
    export(ledger, ref)
    abort(ledger, ref)
    assert volumes(ledger) == {"pending": Volume(3, 30, 240), "accepted": Volume(3, 30, 240)}
    assert (ledger.flushes.get(ref).error, ledger.flushes.files(ref)) == ("it broke", [])
    assert ledger.flushes.claimed_segments(ref) == {}
    counted = {c.series: c.value for c in ledger.counters.all() if c.labels == {"reason": "error"}}
    assert counted == {"retried_batches_total": 2}


def test_a_second_export_replaces_the_first(ledger: Ledger, ref: FlushRef) -> None:
    export(ledger, ref)
    ledger.flushes.record_export(ref, [], [])
    assert ledger.flushes.files(ref) == []


def test_only_one_of_two_heirs_adopts_a_claim(ledger: Ledger, ref: FlushRef) -> None:
    adopt(ledger, ref)
    with pytest.raises(FlushInFlight, match="another process's"):
        ledger.flushes.adopt(ref, "late", "flusher")
    assert ledger.flushes.get(ref).owner == "heir"


def test_each_outcome_is_counted_once(ledger: Ledger, ref: FlushRef) -> None:
    abort(ledger, ref)
    abort(ledger, ref)
    again = claimed(ledger)
    export(ledger, again)
    finalize(ledger, again)
    finalize(ledger, again)
    totals = {(c.series, c.labels.get("result")): c.value for c in ledger.counters.all() if "le" not in c.labels}
    for result in ("success", "failure"):
        assert totals["flushes_total", result] == 1
        assert totals["flush_batches_total", result] == 2
        assert totals["flush_rows_total", result] == 20
        assert totals["flush_duration_seconds_count", result] == 1


def test_failures_in_a_row_wait_longer_and_longer(ledger: Ledger, ref: FlushRef) -> None:
    abort(ledger, ref)
    first = ledger.backlogs.of("d")
    abort(ledger, claimed(ledger))
    second = ledger.backlogs.of("d")
    assert (first.failures, second.failures) == (1, 2)
    assert first.retry_at is not None
    assert second.retry_at is not None
    assert second.retry_at > first.retry_at


@pytest.mark.parametrize(("failures", "seconds"), [(0, 2), (1, 4), (2, 8), (7, 256), (8, 300), (1000, 300)])
def test_the_wait_doubles_up_to_five_minutes(failures: int, seconds: int) -> None:
    assert retry_delay(failures) == timedelta(seconds=seconds)


def test_history_is_newest_first_and_bounded(ledger: Ledger, ref: FlushRef) -> None:
    abort(ledger, ref)
    claimed(ledger)
    promise(ledger, "e", "t", batch("t", 0))
    other = claimed(ledger, "e")
    assert [(flush.dataset, flush.epoch) for flush in ledger.flushes.history()] == [("e", 1), ("d", 2), ("d", 1)]
    assert [flush.epoch for flush in ledger.flushes.history("d", most=1)] == [2]
    assert [flush.dataset for flush in ledger.flushes.in_flight()] == ["d", "e"]
    assert [flush.epoch for flush in ledger.flushes.in_flight("e")] == [other.epoch]


def test_a_failed_step_leaves_no_half_of_itself(ledger: Ledger, ref: FlushRef) -> None:
    with pytest.raises(TimestoreError):
        ledger.flushes.record_export(ref, [FILE], [SHARES[0], SHARES[0]])
    assert ledger.flushes.get(ref).state is FlushState.CLAIMED
    assert ledger.flushes.files(ref) == []
