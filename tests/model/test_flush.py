"""Every error class, also a future one, has one of few retry reasons."""

from __future__ import annotations

import pytest

from timestore_pipeline.errors import (
    DiskFull,
    Fenced,
    Interrupted,
    LedgerBusy,
    OutcomeUnknown,
    RetryLater,
    TimestoreError,
    UnreadableSegment,
)
from timestore_pipeline.model.flush import RetryReason

REASONS = [
    (KeyboardInterrupt(), "interrupted"),
    (SystemExit(), "interrupted"),
    (Interrupted("x"), "interrupted"),
    (DiskFull("x"), "disk_full"),
    (RetryLater("x"), "retry_later"),
    (LedgerBusy("x"), "retry_later"),
    (OutcomeUnknown("x"), "retry_later"),
    (UnreadableSegment("x"), "corrupted"),
    (Fenced("x"), "conflict"),
    (TimestoreError("x"), "error"),
    (ValueError("x"), "error"),
]


@pytest.mark.parametrize(("error", "reason"), REASONS, ids=lambda given: type(given).__name__)
def test_an_error_is_counted_by_its_remedy(error: BaseException, reason: str) -> None:
    assert RetryReason.of(error) == reason


def test_every_reason_can_come_about() -> None:
    assert {reason for _, reason in REASONS} == set(RetryReason)
