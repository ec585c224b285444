"""What there is to see in the UI: a dataset with a history, one day left out and one batch that waits too long.

It is paused, so that it stays like that. The flushes and checks are real ones, executed in this process.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest import mock

import dagster as dg
import pyarrow as pa

from timestore_pipeline import StagingManager
from timestore_pipeline.definitions import defs
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

DATASET = "weather"
DESCRIPTION = "Hourly weather at New York's airports."
START = datetime(2026, 1, 1, tzinfo=UTC)
FLUSHES = ((0, 30), (30, 42), (72, 20), (120, 24), (144, 6), (150, 90))  # first hour, rows
ROWS = sum(rows for _, rows in FLUSHES)
WAITING = 5  # rows
_METADATA = {
    "description": DESCRIPTION,
    "owners": ["team:meteorology"],
    "staging": {"flush": {"maxAgeMs": 1_000}},
}


def prepare(staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance) -> None:
    """Returns once the dataset's checks have been answered, one of them with a batch that waits too long."""
    timestore.set_metadata(DATASET, _METADATA)
    for first, rows in FLUSHES:
        staging.enqueue(DATASET, hours(first, rows))
        _launch("partition_build", instance, {"claim_backlogs": {"config": {"flushes": [{"dataset": DATASET}]}}})
    timestore.area.ledger.datasets.set_paused(DATASET, True)
    _stage_late(staging, timestore)
    _launch("verify_lake", instance, {})
    _check(instance)


def hours(first: int, count: int) -> pa.Table:
    """A row an hour."""
    instants = [START + timedelta(hours=hour) for hour in range(first, first + count)]
    return pa.table({"time_hour": pa.array(instants, pa.timestamp("us", "UTC")), "temp": [20.0] * count})


def _launch(job: str, instance: dg.DagsterInstance, ops: dict[str, object]) -> None:
    defs().resolve_job_def(job).execute_in_process({"ops": ops} if ops else None, instance=instance)


def _stage_late(staging: StagingManager, timestore: Timestore) -> None:
    """By a clock that is slow by as much as a batch may wait."""
    slow = timestore.status(DATASET).thresholds.late_after
    assert slow is not None
    with mock.patch.object(clock, "now", return_value=clock.now() - slow):
        staging.enqueue(DATASET, hours(240, WAITING))


def _check(instance: dg.DagsterInstance) -> None:
    job = defs().resolve_implicit_global_asset_job_def()
    keys = {key for key in job.asset_layer.asset_graph.asset_check_keys if key.asset_key.path[-1] == DATASET}
    job.get_subset(asset_selection=set(), asset_check_selection=keys).execute_in_process(instance=instance)
