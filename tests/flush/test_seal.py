"""Sealing: live, idle, dead and silent owners, each a real process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flush.conftest import published
from tests.flush.owners import impatient, start_owner
from tests.services.forked import Script, script
from timestore_pipeline import Settings
from timestore_pipeline.flush.claim import Claim
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

__all__ = ["impatient", "start_owner"]  # a fixture is found by its name in this module

_TAKING_OVER = """
import os, signal, sys
from timestore_pipeline import Settings
from timestore_pipeline.flush.recovery import recover
from timestore_pipeline.staging import segments
from timestore_pipeline.wiring import Timestore
check, literal = segments._check_promises, segments.literal
def stop(path):
    os.kill(os.getpid(), signal.SIGSTOP)
    return literal(path)
def check_then_stop(*arguments):
    check(*arguments)
    segments.literal = stop  # needed next to open the file for writing
segments._check_promises = check_then_stop
with Timestore(Settings.build(home=sys.argv[1])) as store:
    recover(store.area, store.lake)
"""


def test_a_live_owner_hands_its_segment_over_and_writes_on(
    start_owner: Callable[[int], Script], timestore: Timestore
) -> None:
    owner = start_owner(0)
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(10))
    owner.tell("10")
    owner.finish()
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(20))


def test_a_dead_owners_segment_is_taken_over(start_owner: Callable[[int], Script], timestore: Timestore) -> None:
    owner = start_owner(0)
    owner.kill()
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(10))


@pytest.fixture
def stopped_heir(start_owner: Callable[[int], Script], settings: Settings, impatient: Timestore) -> Iterator[Script]:
    """A process that stopped while it was taking a dead writer's segment over; a flush has passed since."""
    owner = start_owner(0)
    owner.kill()
    with script(_TAKING_OVER, settings.home) as heir:
        heir.wait_until_stopped()
        impatient.flush("d", Trigger.MANUAL, "run")
        yield heir


def test_who_wakes_up_while_taking_over_finds_the_segment_as_he_left_it(
    stopped_heir: Script, timestore: Timestore
) -> None:
    os.kill(stopped_heir.pid, signal.SIGCONT)
    assert stopped_heir.wait() == 0
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(10))
    assert list(timestore.area.directory.segment_folder("d").iterdir()) == []


def test_who_dies_while_taking_over_is_followed_by_the_next(stopped_heir: Script, timestore: Timestore) -> None:
    stopped_heir.kill()
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(10))


def test_a_log_that_lost_acknowledged_rows_is_kept_as_it_is(
    start_owner: Callable[[int], Script], timestore: Timestore
) -> None:
    owner = start_owner(0)
    owner.kill()
    (log,) = timestore.area.directory.segment_folder("d").glob("*.wal")
    log.write_bytes(torn := log.read_bytes()[:-50])
    (incident,) = timestore.pipeline.claim("d", Trigger.MANUAL, "run").set_aside
    assert (incident.volume.rows, incident.reason) == (10, "damaged")
    assert (timestore.area.directory.quarantine_folder("d") / log.name).read_bytes() == torn


def test_a_silent_owner_keeps_its_batches_is_named_and_blocks_nobody(
    start_owner: Callable[[int], Script], impatient: Timestore, timestore: Timestore
) -> None:
    stopped, _working = start_owner(0), start_owner(10)
    os.kill(stopped.pid, signal.SIGSTOP)
    claim = claimed(impatient)
    assert claim.ref is not None
    assert ["lives but did not seal it in time" in unsealed.reason for unsealed in claim.left_out] == [True]
    impatient.pipeline.export(claim.ref, impatient.export_options())
    impatient.pipeline.finalize(claim.ref, impatient.pipeline.publish(claim.ref))
    assert published(timestore) == list(range(10, 20))
    os.kill(stopped.pid, signal.SIGCONT)
    timestore.flush("d", Trigger.MANUAL, "run")
    assert published(timestore) == list(range(20))


def claimed(store: Timestore) -> Claim:
    """On a busy machine an owner that works may need more time than one that never answers is given."""
    while (claim := store.pipeline.claim("d", Trigger.MANUAL, "run")).ref is None:
        assert len(claim.left_out) == 2
    return claim


def test_a_claim_that_nobody_answers_is_postponed(start_owner: Callable[[int], Script], impatient: Timestore) -> None:
    os.kill(start_owner(0).pid, signal.SIGSTOP)
    assert impatient.flush("d", Trigger.MANUAL, "run") is None
    backlog = impatient.status("d").backlog
    assert (backlog.pending.rows, backlog.failures) == (10, 1)
    assert backlog.retry_at is not None


def test_a_segment_that_was_never_built_is_forgotten(settings: Settings, timestore: Timestore, tmp_path: Path) -> None:
    record = timestore.area.ledger.datasets.ensure("d")
    timestore.area.ledger.segments.register("0123", record.dataset_id, "gone")
    assert timestore.flush("d", Trigger.MANUAL, "run") is None
    assert timestore.area.ledger.segments.of_dataset("d") == []


def test_a_damaged_segment_is_kept_named_and_does_not_block_the_others(
    start_owner: Callable[[int], Script], timestore: Timestore
) -> None:
    damaged, _working = start_owner(0), start_owner(10)
    damaged.kill()
    (segment,) = [
        s for s in timestore.area.ledger.segments.open_segments("d") if not timestore.area.identity.is_alive(s.owner)
    ]
    path = timestore.area.directory.segment("d", segment.segment_id)
    path.write_bytes(b"rot" * 20_000)
    claim = timestore.pipeline.claim("d", Trigger.MANUAL, "run")
    assert [incident.segment_id for incident in claim.set_aside] == [segment.segment_id]
    assert claim.ref is not None
    assert timestore.area.directory.quarantined("d", segment.segment_id).read_bytes() == b"rot" * 20_000
