"""When a dataset's checks fail, and what they then tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from timestore_pipeline.defs.checks import AUDITED, WATCHED, Verdict, audited, watched
from timestore_pipeline.flush.dataset_status import DatasetStatus
from timestore_pipeline.flush.decide import FlushDecision
from timestore_pipeline.model.batch import BatchState, Volume
from timestore_pipeline.model.flush import Backlog
from timestore_pipeline.model.thresholds import FlushSettings, FlushThresholds
from timestore_pipeline.recovery.findings import DatasetAudit, Finding
from timestore_pipeline.staging.ledger.audit import LedgerTotals

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
SOUND = LedgerTotals({}, {}, Volume(), Volume())
MINUTE = timedelta(minutes=1)


def verdict(
    check: str,
    *,
    waits: int = 0,
    limit: timedelta = MINUTE,
    rows: int = 1_000,
    disk: int = 0,
    aside: Volume | None = None,
    totals: LedgerTotals = SOUND,
) -> Verdict:
    """`waits`: seconds of the oldest batch, 0 = nothing staged; the guardrail is 1,000 bytes."""
    staged = NOON - timedelta(seconds=waits) if waits else None
    pending = Volume(1, 5, 40) if waits else Volume()
    backlog = Backlog("weather", pending, Volume(), aside or Volume(), staged, staged, disk_bytes=disk)
    status = DatasetStatus(
        backlog, FlushSettings(FlushThresholds(rows, 0, limit)), FlushDecision("weather", False, "flushes are paused")
    )
    return next(found for found in watched(status, 1_000, totals, NOON) if found.check == check)


def test_every_check_is_answered_and_described() -> None:
    assert {verdict(check).check for check in WATCHED} == WATCHED.keys()
    assert {found.check for found in audited(DatasetAudit("weather"))} == AUDITED.keys()


@pytest.mark.parametrize(("waits", "passed"), [(0, True), (60, True), (120, True), (121, False)])
def test_a_batch_is_late_when_the_pager_says_so(waits: int, passed: bool) -> None:
    assert verdict("fresh", waits=waits).passed is passed


def test_a_batch_is_late_although_every_tick_should_flush_it() -> None:
    found = verdict("fresh", waits=300, limit=timedelta(0), rows=0)
    assert not found.passed
    assert found.text.startswith("the oldest staged batch waits for 300 s, and every tick should flush it")


def test_a_late_batch_is_reported_with_the_reason_why_it_is_not_flushed() -> None:
    text = "the oldest staged batch waits for 300 s, the age limit is 60 s: flushes are paused"
    assert verdict("fresh", waits=300).text == text


def test_without_an_age_limit_nothing_is_late() -> None:
    assert verdict("fresh", waits=10_000, limit=timedelta(0)).passed


@pytest.mark.parametrize(
    ("disk", "passed", "severity"),
    [(799, True, "WARN"), (800, False, "WARN"), (1_000, False, "ERROR")],
)
def test_the_guardrail_warns_before_it_is_reached(disk: int, passed: bool, severity: str) -> None:
    found = verdict("below_guardrail", disk=disk)
    assert (found.passed, found.severity.value) == (passed, severity)
    assert found.text == f"{disk:,} of 1,000 bytes are in use"


def test_a_quarantined_batch_is_counted_with_the_command_that_lists_it() -> None:
    found = verdict("quarantine_empty", aside=Volume(2, 5_000, 40_000))
    assert not found.passed
    assert found.text == "2 batches of 5,000 rows are set aside: `timestore quarantine list weather`"


def test_running_totals_that_differ_from_the_batches_are_reported() -> None:
    totals = LedgerTotals({"accepted": Volume(1, 5, 40)}, {BatchState.PENDING: Volume(1, 5, 40)}, Volume(), Volume())
    found = verdict("books_balance", totals=totals)
    assert not found.passed
    assert "- pending: the running total is 0 batches" in found.text


def test_an_audit_without_problems_passes_with_its_numbers() -> None:
    found, files = audited(DatasetAudit("weather", accepted_rows=7_000, published_rows=5))
    assert found.text == "7,000 rows accepted, 5 of them published, all accounted for"
    assert (found.passed, files.passed) == (True, True)


def test_the_problems_of_an_audit_are_listed_with_their_remedies() -> None:
    found, _ = audited(DatasetAudit("weather", problems=[Finding("file_missing", "x.parquet is gone", "restore it")]))
    assert (found.passed, found.text) == (False, "- x.parquet is gone [restore it]")


def test_a_great_many_problems_are_cut() -> None:
    problems = [Finding("file_missing", f"{number}.parquet is gone") for number in range(9)]
    found, _ = audited(DatasetAudit("weather", problems=problems))
    assert found.text.splitlines()[-1] == "- and 4 more, see `timestore verify`"


def test_a_file_that_nobody_knows_is_a_warning_of_its_own() -> None:
    found, files = audited(DatasetAudit("weather", warnings=[Finding("unmanaged_file", "no commit knows x.parquet")]))
    assert (found.passed, files.passed) == (True, False)
    assert files.severity is dg.AssetCheckSeverity.WARN


def test_an_event_and_a_result_say_the_same() -> None:
    found = verdict("fresh", waits=300)
    event, result = found.evaluation(), found.result()
    assert event.asset_check_key == found.key == dg.AssetCheckKey(result.asset_key, result.check_name)  # type: ignore[arg-type]
    assert (event.passed, event.description) == (result.passed, result.description)
