"""No check keeps the others from being made."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from timestore_pipeline.errors import LedgerBusy
from timestore_pipeline.tools.doctor.examination import Check, CheckFinding, Status, examine, ok, warning


def _raises() -> Iterator[CheckFinding]:
    yield ok("so far")
    raise LedgerBusy("the ledger is locked", hint="try again")


def _breaks() -> Iterator[CheckFinding]:
    raise ZeroDivisionError("by nought")


def test_a_check_that_raises_is_a_finding_with_its_remedy() -> None:
    diagnosis = examine([Check("first", _raises), Check("second", lambda: [ok("fine")])])
    assert [(name, finding.status) for name, finding in diagnosis.findings] == [
        ("first", Status.FAILED),
        ("second", Status.OK),
    ]
    assert diagnosis.findings[0][1] == CheckFinding(Status.FAILED, "the ledger is locked [ledger_busy]", "try again")


def test_a_check_that_is_broken_says_so() -> None:
    [(_, finding)] = examine([Check("broken", _breaks)]).findings
    assert finding.seen == "the check itself failed: ZeroDivisionError: by nought"


def test_a_check_that_hangs_is_left_behind() -> None:
    for_ever = threading.Event()
    diagnosis = examine([Check("hangs", lambda: [ok(str(for_ever.wait()))]), Check("last", lambda: [ok("fine")])], 0.05)
    assert [finding.seen for _, finding in diagnosis.findings] == ["no answer within 0.05 s", "fine"]
    for_ever.set()


def test_warnings_are_no_failure() -> None:
    assert examine([Check("one", lambda: [warning("hm", "look")])]).ok
