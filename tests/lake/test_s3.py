"""The same guarantees on an object store, against a real server."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.lake.exporting import (
    APP,
    NUMBERS,
    UNPARTITIONED,
    create_when_all_are_ready,
    export,
    publish,
    publish_when_all_are_ready,
    settle_when_all_are_ready,
)
from tests.lake.processes import run_together
from tests.maintain import small_files
from tests.maintain.retyping import retyped
from tests.services.s3 import S3Server, s3_server, serving
from timestore_pipeline.errors import Fenced, OutcomeUnknown, RetryLater
from timestore_pipeline.lake.handle import CHECKPOINT_EVERY
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.model.lake import EpochOutcome
from timestore_pipeline.model.recast import Leeway
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

pytestmark = pytest.mark.service
__all__ = ["s3_server"]  # a fixture is found by its name in this module


@pytest.fixture
def lake(s3_server: S3Server, tmp_path: Path) -> Lake:
    return Lake(f"{s3_server.new_bucket()}/some/prefix", s3_server.storage_options, spool=tmp_path)


def test_rows_are_published_read_and_pruned_by_partition(lake: Lake, s3_server: S3Server, tmp_path: Path) -> None:
    table = lake.table("weather")
    hours = pa.array([0, 3_600_000_000, 3_600_000_001, None], pa.timestamp("us", tz="UTC"))
    rows = pa.table({"a time": hours, "n": [1, 2, 3, 4]})
    assert publish(table, rows, Granularity.HOUR) == 1
    dataset = table.to_arrow_dataset()
    assert sorted(dataset.to_table()["n"].to_pylist()) == [1, 2, 3, 4]
    assert dataset.to_table(filter=pc.field("partition_hour") == hours[1])["n"].to_pylist() == [2, 3]
    assert dataset.to_table(filter=pc.field("partition_hour").is_null())["n"].to_pylist() == [4]
    read = pl.read_delta(table.uri, storage_options=s3_server.storage_options)
    assert sorted(read["n"]) == [1, 2, 3, 4]
    assert list(tmp_path.iterdir()) == []


def test_burnt_published_and_discarded(lake: Lake) -> None:
    table = lake.table("weather")
    assert not table.exists()
    files = export(table, NUMBERS)
    assert table.burn(APP, 1, "crashed") is EpochOutcome.BURNT
    with pytest.raises(Fenced):
        table.publish(APP, 1, files, {})
    table.discard(files)
    table.discard(files)
    assert publish(table, NUMBERS, epoch=2) == 2
    assert table.burn(APP, 2, "crashed") is EpochOutcome.PUBLISHED
    assert [table.outcome(APP, epoch) for epoch in (1, 2, 3)] == ["burnt", "published", "absent"]
    assert [commit["outcome"] for _, commit in table.commits()] == ["aborted", "published"]
    assert [file.rows for file in table.live_files()] == [3]
    assert lake.datasets() == ["weather"]


def test_checkpoints_are_written(lake: Lake, s3_server: S3Server) -> None:
    table = lake.table("weather")
    table.ensure(NUMBERS.schema, UNPARTITIONED)
    for epoch in range(1, CHECKPOINT_EVERY + 1):
        table.publish(APP, epoch, [], {})
    folder = f"{table.uri.removeprefix('s3://')}/_delta_log"
    assert s3_server.filesystem().get_file_info(f"{folder}/_last_checkpoint").is_file
    assert table.outcome(APP, 3) is EpochOutcome.PUBLISHED


def test_creators_that_race_all_end_well(lake: Lake, s3_server: S3Server) -> None:
    options = s3_server.storage_options
    run_together([(create_when_all_are_ready, (lake.uri, columns, options)) for columns in (["a"], ["b"], ["c"])])
    assert sorted(lake.table("weather").schema().names) == ["a", "b", "c"]


def test_shards_append_side_by_side_and_everything_lands(lake: Lake, s3_server: S3Server) -> None:
    shards, epochs = 3, 5
    arguments = [(lake.uri, s3_server.storage_options, f"shard-{i}", epochs) for i in range(shards)]
    run_together([(publish_when_all_are_ready, each) for each in arguments])
    assert lake.table("weather").to_arrow_dataset().count_rows() == shards * epochs * 3


def test_of_a_publish_and_a_burn_that_race_exactly_one_wins(lake: Lake, s3_server: S3Server) -> None:
    epochs, options = 6, s3_server.storage_options
    run_together([(settle_when_all_are_ready, (lake.uri, options, epochs, burns)) for burns in (False, True)])
    table = lake.table("weather")
    outcomes = [table.outcome(APP, epoch) for epoch in range(1, epochs + 1)]
    assert table.to_arrow_dataset().count_rows() == 3 * outcomes.count(EpochOutcome.PUBLISHED)
    assert len(list(table.commits())) == epochs


def test_a_server_that_is_gone_means_retry_and_not_data_loss(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        impatient = {**server.storage_options, "max_retries": "1", "retry_timeout": "1s"}
        table = Lake(server.new_bucket(), impatient).table("weather")
        files = export(table, NUMBERS)
    for call in (table.exists, table.live_files, lambda: table.publish(APP, 1, files, {})):
        with pytest.raises((RetryLater, OutcomeUnknown)):
            call()


def test_a_table_in_a_bucket_is_maintained(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.storage_options.items():
        monkeypatch.setenv(name, value)
    with Timestore(Settings.build(home=tmp_path, lake_uri=f"{s3_server.new_bucket()}/lake")) as store:
        for number in range(5):
            small_files.publish(store, number)
        before = small_files.content(store)
        done = small_files.maintained(store, retention=small_files.AT_ONCE)
        assert (done.files_before, done.files_after, len(done.deleted), done.errors) == (10, 2, 10, [])
        assert small_files.content(store) == before
        assert len(store.lake.table("weather").stored_files()) == 2
        [audit] = verify(store.area, store.lake, ["weather"], deep=True).datasets
        assert (audit.problems, audit.warnings) == ([], [])
        assert list(store.area.directory.spool.iterdir()) == []


def test_a_column_in_a_bucket_gets_another_type(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush that was exported before is refused by the log there, too."""
    for name, value in s3_server.storage_options.items():
        monkeypatch.setenv(name, value)
    with Timestore(Settings.build(home=tmp_path, lake_uri=f"{s3_server.new_bucket()}/lake")) as store:
        for number in range(3):
            small_files.publish(store, number)
        with store.staging() as staging:
            staging.enqueue("weather", small_files.rows(3))
        claim = store.pipeline.claim("weather", Trigger.MANUAL, "test")
        assert claim.ref is not None
        store.pipeline.export(claim.ref, store.export_options())
        done = retyped(store, "at", "local_timestamp", Leeway(local_is_utc=True))
        assert (done.files, done.rows, done.written_files) == (6, 30, 2)
        with pytest.raises(RetryLater, match="column 'at' has become"):
            store.pipeline.publish(claim.ref)
        store.flush("weather", Trigger.MANUAL, "test")
        read = pl.read_delta(store.lake.table("weather").uri, storage_options=s3_server.storage_options)
        assert (read["at"].dtype, sorted(read["n"])) == (pl.Datetime("us"), list(range(40)))
        [audit] = verify(store.area, store.lake, ["weather"], deep=True).datasets
        assert (audit.problems, audit.warnings) == ([], [])
        assert list(store.area.directory.spool.iterdir()) == []
