"""A dataset's own values, from its metadata through the run's configuration to file, commit and materialization."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.defs.flushing import build, failure_of, hourly, job
from tests.defs.ticking import tick
from timestore_pipeline import StagingManager
from timestore_pipeline.flush.shares import FEWEST
from timestore_pipeline.wiring import Timestore

GZIP = {"maxRows": 3, "compression": "gzip", "rowGroupSize": 2_048, "sortBy": ["station"]}


def readings(days: int) -> pa.Table:
    """5,000 rows over some days, of stations that take turns."""
    rows = hourly(24 * days)
    rows = pa.concat_tables([rows] * (5_000 // rows.num_rows + 1)).sort_by("ts")
    return rows.append_column("station", pa.array([f"s{row * 7 % 50:02}" for row in range(rows.num_rows)]))


def configured(timestore: Timestore, dataset: str, **flush: object) -> None:
    timestore.set_metadata(dataset, {"staging": {"flush": flush}})


def config(request: dg.RunRequest) -> Any:
    return request.run_config["ops"]["claim_backlogs"]["config"]


def footers(timestore: Timestore, dataset: str) -> list[pq.FileMetaData]:
    files = timestore.lake.table(dataset).to_arrow_dataset().files
    return [pq.read_metadata(f"{timestore.settings.lake_uri}/{dataset}/{file}") for file in files]


def codecs(timestore: Timestore, dataset: str) -> list[str]:
    return [footer.row_group(0).column(0).compression for footer in footers(timestore, dataset)]


def committed(timestore: Timestore, dataset: str) -> Any:
    """What the newest commit says was in force."""
    *_, (_, newest) = timestore.lake.table(dataset).commits()
    return newest["settings"]


@pytest.mark.parametrize("days", [1, 2 * FEWEST])  # many are written together, in another way
def test_an_override_goes_from_the_metadata_to_configuration_footer_commit_and_materialization(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, days: int
) -> None:
    configured(timestore, "weather", **GZIP)
    staging.enqueue("weather", readings(days))

    [request] = tick(instance).run_requests
    [flush] = config(request)["flushes"]
    in_force = {"max_rows": 3, "compression": "gzip", "row_group_size": 2_048, "sort_by": ["station"]}
    assert flush["overrides"] == in_force
    run = job().execute_in_process(request.run_config, instance=instance)

    for path, footer in zip(
        timestore.lake.table("weather").to_arrow_dataset().files, footers(timestore, "weather"), strict=True
    ):
        assert footer.row_group(0).column(0).compression == "GZIP"
        assert footer.row_group(0).num_rows <= 2_048
        rows = pq.read_table(f"{timestore.settings.lake_uri}/weather/{path}", partitioning=None).to_pylist()
        assert rows == sorted(rows, key=lambda row: (row["station"], row["ts"]))
    everything = {**config(request)["defaults"], **in_force}
    assert committed(timestore, "weather") == everything
    *_, event = run.asset_materializations_for_node("finalize_flushes")
    assert event.metadata["settings"].value == everything
    assert len(footers(timestore, "weather")) == days


def test_what_the_tick_saw_holds_although_the_metadata_changed_before_the_claim(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    configured(timestore, "weather", maxRows=3)
    configured(timestore, "flights", maxRows=3, compression="gzip")
    for dataset in ("weather", "flights"):
        staging.enqueue(dataset, hourly(3))
    [request] = tick(instance).run_requests
    configured(timestore, "weather", maxRows=3, compression="snappy")
    configured(timestore, "flights", maxRows=3)
    assert job().execute_in_process(request.run_config, instance=instance).success
    assert (codecs(timestore, "weather"), codecs(timestore, "flights")) == (["ZSTD"], ["GZIP"])


def test_executing_the_same_configuration_again_repeats_its_values(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    configured(timestore, "weather", maxRows=3, compression="gzip")
    staging.enqueue("weather", hourly(3))
    [request] = tick(instance).run_requests
    assert job().execute_in_process(request.run_config, instance=instance).success
    configured(timestore, "weather", maxRows=3)
    staging.enqueue("weather", hourly(3, first=3))
    assert job().execute_in_process(request.run_config, instance=instance).success
    assert codecs(timestore, "weather") == ["GZIP", "GZIP"]


def test_a_launch_by_hand_takes_what_is_configured_and_changes_what_it_names(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    configured(timestore, "weather", compression="zstd", compressionLevel=19, rowGroupSize=4_096)
    staging.enqueue("weather", hourly(3))
    assert build(instance, "weather").success
    as_configured = committed(timestore, "weather")
    staging.enqueue("weather", hourly(3, first=3))
    assert build(instance, {"dataset": "weather", "overrides": {"compression": "snappy"}}).success
    assert (as_configured["compression_level"], as_configured["row_group_size"]) == (19, 4_096)
    changed = {"compression": "snappy", "compression_level": 0}  # another codec begins without a level
    assert committed(timestore, "weather") == {**as_configured, **changed}


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"sort_by": ["statoin"]}, "sort_by names 'statoin', which dataset 'weather' does not have [its columns are: "),
        (
            {"compression_level": 9},
            "a compression level (9) is for zstd, and the compression is gzip; unset one of them",
        ),
        ({"compression_level": 23}, "compression_level: Input should be less than or equal to 22"),
        ({"sort_by": ["n", "n"]}, "'n' is named twice"),
        ({"max_rows": -1}, "max_rows: Input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_explained_before_anything_is_claimed(
    staging: StagingManager,
    timestore: Timestore,
    instance: dg.DagsterInstance,
    overrides: dict[str, object],
    problem: str,
) -> None:
    configured(timestore, "weather", compression="gzip")
    for dataset in ("flights", "weather"):
        staging.enqueue(dataset, hourly(3))
    run = build(instance, "flights", {"dataset": "weather", "overrides": overrides})
    assert problem in failure_of(run, "claim_backlogs")
    assert [timestore.status(dataset).backlog.pending.rows for dataset in ("flights", "weather")] == [3, 3]


def test_a_sort_column_that_is_still_to_come_orders_nothing_until_it_comes(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance
) -> None:
    configured(timestore, "weather", maxRows=3, sortBy=["station"])
    staging.enqueue("weather", hourly(3))
    [request] = tick(instance).run_requests
    assert "sort_by" not in config(request)["flushes"][0]["overrides"]
    assert job().execute_in_process(request.run_config, instance=instance).success
    staging.enqueue("weather", readings(1))
    [request] = tick(instance).run_requests
    assert config(request)["flushes"][0]["overrides"]["sort_by"] == ["station"]


def test_defaults_stand_in_the_configuration_once_however_many_datasets_are_due(
    staging: StagingManager, timestore: Timestore, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_STAGING_FLUSH_MAX_ROWS", "3")
    for dataset in ("flights", "trains", "weather"):
        staging.enqueue(dataset, hourly(3))
    [request] = tick(instance).run_requests
    assert [sorted(flush) for flush in config(request)["flushes"]] == [["dataset", "trigger"]] * 3
    assert set(config(request)["defaults"]) == {
        *("max_rows", "max_bytes", "max_age_ms"),
        *("compression", "compression_level", "row_group_size", "sort_by"),
    }
