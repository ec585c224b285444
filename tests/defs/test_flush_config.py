"""What the launchpad accepts, and how it says no."""

from __future__ import annotations

from typing import get_args

import dagster as dg
import pyarrow.parquet as pq
import pytest

from tests.defs.flushing import build, failure_of, hourly
from timestore_pipeline import StagingManager
from timestore_pipeline.defs.flush_config import TriggerName
from timestore_pipeline.flush.shares import FEWEST
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.model.metadata_sections import Compression
from timestore_pipeline.wiring import Timestore


def test_every_trigger_can_be_given() -> None:
    assert set(get_args(TriggerName)) == {trigger.value for trigger in Trigger}


@pytest.mark.parametrize("days", [1, 2 * FEWEST])  # many are written together, in another way
@pytest.mark.parametrize("compression", get_args(Compression))
def test_every_compression_on_offer_is_written(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, compression: str, days: int
) -> None:
    staging.enqueue("weather", hourly(24 * days))
    assert build(instance, {"dataset": "weather", "overrides": {"compression": compression}}).success
    files = timestore.lake.table("weather").to_arrow_dataset().files
    assert len(files) == days
    for file in files:
        written = pq.read_metadata(f"{timestore.settings.lake_uri}/weather/{file}").row_group(0).column(0).compression
        assert written.lower() == compression


def test_the_row_group_size_is_obeyed(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("names", hourly(5_000).drop_columns(["ts"]))
    assert build(instance, {"dataset": "names", "overrides": {"row_group_size": 2_048}}).success
    [file] = timestore.lake.table("names").to_arrow_dataset().files
    assert pq.read_metadata(f"{timestore.settings.lake_uri}/names/{file}").num_row_groups == 3


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"dataset": "weather", "trigger": "cron"}, "trigger not in enum type"),
        ({"dataset": "weather", "overrides": {"compression": "rar"}}, "compression not in enum type"),
        ({"dataset": "weather", "overrides": {"codec": "zstd"}}, 'unexpected config entry "codec"'),
        ({"trigger": "manual"}, 'Missing required config entry "dataset"'),
    ],
)
def test_the_launchpad_refuses_what_the_job_does_not_know(
    instance: dg.DagsterInstance, request_: dict[str, object], problem: str
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match=problem):
        build(instance, request_)


def test_an_unknown_dataset_is_named_before_anything_is_claimed(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    message = failure_of(build(instance, "weather", "wether"), "claim_backlogs")
    assert "unknown dataset 'wether'; nothing was claimed. Known datasets: weather" in message
    assert timestore.status("weather").backlog.pending.rows == 3


def test_a_dataset_named_twice_is_refused(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    staging.enqueue("weather", hourly(3))
    assert "named more than once: weather" in failure_of(build(instance, "weather", "weather"), "claim_backlogs")


def test_a_run_without_datasets_is_refused(instance: dg.DagsterInstance) -> None:
    assert "no dataset is named" in failure_of(build(instance), "claim_backlogs")


def test_a_row_group_smaller_than_duckdb_writes_is_refused(
    staging: StagingManager, instance: dg.DagsterInstance
) -> None:
    staging.enqueue("weather", hourly(3))
    run = build(instance, {"dataset": "weather", "overrides": {"row_group_size": 10}})
    assert "greater than or equal to 2048" in failure_of(run, "claim_backlogs")
