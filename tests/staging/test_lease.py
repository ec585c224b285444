"""The lease on claims: who gives signs of life, and how long one lasts."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging import lease
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.processes import Processes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("silent", "over"),
    [(timedelta(0), False), (MINUTE, False), (MINUTE * 2, True), (-MINUTE, False), (-MINUTE * 2, True)],
)
def test_a_lease_ends_after_a_silence_and_after_a_clock_that_was_set_back(silent: timedelta, over: bool) -> None:
    assert lease.expired(NOW - silent, NOW, MINUTE) is over


def test_a_process_that_never_held_a_claim_is_judged_by_its_lock_alone(area: StagingArea) -> None:
    area.lease = timedelta(0)
    assert area.is_working(area.identity.process_id)
    assert not area.is_working("never was")


def test_as_long_as_something_is_held_the_lease_is_renewed_and_no_longer(
    area: StagingArea, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = threading.Semaphore(0)
    renew = Processes.renew

    def counting(processes: Processes, process_id: str) -> None:
        renew(processes, process_id)
        renewed.release()

    monkeypatch.setattr(Processes, "renew", counting)
    monkeypatch.setattr(lease, "RENEW_EVERY", 0.001)
    area.held_claims.add(FlushRef("d", 1))
    for _ in range(3):
        assert renewed.acquire(timeout=30)
    assert area.ledger.processes.heartbeat_at(area.identity.process_id) is not None
    area.held_claims.close()
    assert "timestore-lease" not in [thread.name for thread in threading.enumerate()]


def test_a_process_that_says_so_gives_signs_of_life_without_a_claim(area: StagingArea) -> None:
    area.held_claims.keep_renewing()
    assert area.ledger.processes.heartbeat_at(area.identity.process_id) is not None
    area.lease = timedelta(0)
    assert not area.is_working(area.identity.process_id)
