"""Staging, launching and looking at the lake, as the tests of the Dagster plane do it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from timestore_pipeline.definitions import defs
from timestore_pipeline.wiring import Timestore

START = datetime(2013, 1, 1, tzinfo=UTC)


def hourly(count: int, first: int = 0) -> pa.Table:
    """`count` rows, one an hour from START on, numbered from `first`."""
    instants = [START + timedelta(hours=hour) for hour in range(first, first + count)]
    return pa.table({"ts": pa.array(instants, pa.timestamp("us", "UTC")), "n": list(range(first, first + count))})


def published(timestore: Timestore, dataset: str) -> list[int]:
    """The numbers in the lake, in order, doubles included."""
    table = timestore.lake.table(dataset)
    return sorted(table.to_arrow_dataset().to_table()["n"].to_pylist()) if table.exists() else []


def run_config(*flushes: str | dict[str, Any]) -> dict[str, Any]:
    """What the launchpad holds."""
    requests = [{"dataset": flush} if isinstance(flush, str) else flush for flush in flushes]
    return {"ops": {"claim_backlogs": {"config": {"flushes": requests}}}}


def job() -> dg.JobDefinition:
    return defs().resolve_job_def("partition_build")


def build(instance: dg.DagsterInstance, *flushes: str | dict[str, Any]) -> dg.ExecuteInProcessResult:
    """A run of `partition_build` in this process; look at `.success`."""
    return job().execute_in_process(run_config(*flushes), instance=instance, raise_on_error=False)


def failure_of(result: dg.ExecuteInProcessResult, op: str) -> str:
    """What the UI shows as the op's error."""
    event = next(event for event in result.events_for_node(op) if event.is_step_failure)
    error = event.step_failure_data.error
    assert error is not None
    return error.to_string()


def logged(instance: dg.DagsterInstance, run_id: str) -> str:
    """Everything the run's page shows as messages."""
    return "\n".join(entry.user_message for entry in instance.all_logs(run_id))
