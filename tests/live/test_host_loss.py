"""A host is lost: code server and run worker are gone at once, and no process is left to report the run's end."""

from __future__ import annotations

import pytest

from tests.defs.flushing import hourly, run_config
from tests.live.instance import LiveInstance
from timestore_pipeline.recovery.shard_audit import audit_dataset

PROMISED = 60.0  # seconds from the restart of the code server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_lost_run_is_marked_failed_and_its_batches_are_pending_again_within_a_minute(live: LiveInstance) -> None:
    live.stage("lost", hourly(3))
    with live.held("export_partitions") as wait_until_there, live.ticking("flush_recovery_sensor"):
        run = live.api.launch("partition_build", run_config("lost"))
        wait_until_there()
        live.kill_host()
        assert (live.api.status(run), live.backlog("lost").in_flight.rows) == ("STARTED", 3)
        live.start_host()
        assert live.ended(run, PROMISED) == "FAILURE"
        live.wait_for(lambda: live.backlog("lost").in_flight.rows == 0 or None, PROMISED)
        assert (live.backlog("lost").pending.rows, live.backlog("lost").in_flight.rows) == (3, 0)
    assert audit_dataset(live.timestore.area, live.timestore.lake, "lost").ok
