"""Small files become large ones, and nothing else changes."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.maintain.small_files import AT_ONCE, books, content, live, maintained, publish, rows, stored
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.maintain import file_rows
from timestore_pipeline.maintain.dataset_maintenance import maintaining
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore


def test_each_partition_has_one_file_afterwards_and_the_same_rows(fragmented: Timestore) -> None:
    before = content(fragmented)
    done = maintained(fragmented)
    assert (done.files_before, done.files_after, done.compacted_rows, done.errors) == (12, 2, 60, [])
    assert len(live(fragmented)) == 2
    assert content(fragmented) == before
    assert books(fragmented) == ([], [])


def test_a_compacted_file_is_in_time_order(fragmented: Timestore) -> None:
    maintained(fragmented)
    for path in live(fragmented):
        times = pq.read_table(path, partitioning=None).column("at").to_pylist()
        assert times == sorted(times)


def test_a_compacted_file_is_written_as_the_datasets_metadata_say(fragmented: Timestore) -> None:
    flush = {"compression": "gzip", "sortBy": ["n"]}
    fragmented.set_metadata("weather", {"staging": {"flush": flush}})
    maintained(fragmented)
    for path in live(fragmented):
        numbers = pq.read_table(path, partitioning=None).column("n").to_pylist()
        assert numbers == sorted(numbers)
        assert pq.read_metadata(path).row_group(0).column(0).compression == "GZIP"
    assert books(fragmented) == ([], [])


def test_other_readers_see_the_same_rows_and_no_change_of_data(fragmented: Timestore) -> None:
    maintained(fragmented)
    table = DeltaTable(fragmented.lake.table("weather").uri)
    assert table.to_pyarrow_dataset().count_rows() == 60
    assert table.count() == 60
    history = fragmented.lake.table("weather").history()
    assert history is not None
    assert [commit.changes_data for commit in history.commits[-2:]] == [False, False]


def test_a_second_run_finds_nothing_to_do(fragmented: Timestore) -> None:
    maintained(fragmented)
    before = live(fragmented)
    assert maintained(fragmented).compactions == 0
    assert live(fragmented) == before


def test_a_dry_run_says_the_same_and_changes_nothing(fragmented: Timestore) -> None:
    before = stored(fragmented)
    done = maintained(fragmented, dry_run=True)
    assert (done.files_before, done.files_after, done.compacted_files) == (12, 2, 12)
    assert (stored(fragmented), live(fragmented)) == (before, before)


def test_files_whose_struct_has_fewer_fields_than_the_table_get_nulls(store: Timestore) -> None:
    """As after another shard has published rows with more of them."""
    for number in range(6):
        publish(store, number, rows(number, s=[{"a": 1, "l": [{"x": 2}]}] * 10))
    table = store.lake.table("weather")
    grown = pa.struct([("a", pa.int64()), ("l", pa.list_(pa.struct([("x", pa.int64()), ("y", pa.string())])))])
    schema = pa.schema([("at", pa.timestamp("us", "UTC")), ("s", grown)])
    table.ensure(schema, Partitioning.of(schema, Granularity.DAY))
    before = content(store)
    assert (maintained(store).files_after, content(store), books(store)) == (2, before, ([], []))
    assert before[0]["s"] == {"a": 1, "l": [{"x": 2, "y": None}]}
    assert all(pq.read_schema(path).field("s").type == grown for path in live(store))


def test_files_that_lack_a_column_get_nulls(fragmented: Timestore) -> None:
    for number in range(6, 9):
        publish(fragmented, number, rows(number, extra=[{"a": [1, 2]}] * 10))
    before = content(fragmented)
    assert maintained(fragmented).files_after == 2
    assert content(fragmented) == before
    assert books(fragmented) == ([], [])


@pytest.mark.parametrize(("granularity", "files"), [("none", 1), ("hour", 3), ("month", 2)])
def test_every_granularity_and_rows_without_a_time(store: Timestore, granularity: str, files: int) -> None:
    store.area.ledger.datasets.ensure("weather")
    store.set_metadata("weather", {"partition": {"granularity": granularity}})
    for number in range(5):
        table = rows(number)
        publish(store, number, table.set_column(0, "at", [[*table.column("at").to_pylist()[:9], None]]))
    before = content(store)
    assert maintained(store).files_after == files
    assert content(store) == before
    assert books(store) == ([], [])


def test_rows_without_any_time_column(store: Timestore) -> None:
    for number in range(5):
        publish(store, number, rows(number).drop_columns(["at"]))
    before = content(store)
    assert maintained(store).files_after == 1
    assert content(store) == before
    assert books(store) == ([], [])


def test_a_flush_runs_beside_and_after_a_compaction(fragmented: Timestore) -> None:
    maintained(fragmented)
    for number in range(6, 12):
        publish(fragmented, number)
    assert maintained(fragmented).files_after == 2
    assert len(content(fragmented)) == 120
    assert books(fragmented) == ([], [])


def test_files_of_other_tools_are_not_compacted(fragmented: Timestore) -> None:
    uri = fragmented.lake.table("weather").uri
    write_deltalake(uri, fragmented.lake.table("weather").to_arrow_dataset().to_table().slice(0, 2), mode="append")
    before = content(fragmented)
    done = maintained(fragmented)
    assert (done.foreign_files, done.compacted_files, done.errors) == (1, 12, [])
    assert content(fragmented) == before
    assert books(fragmented) == ([], ["foreign_rows"])


def test_after_another_compaction_there_is_nothing_to_do(fragmented: Timestore) -> None:
    DeltaTable(fragmented.lake.table("weather").uri).optimize.compact()
    done = maintained(fragmented)
    assert (done.foreign_files, done.compactions, done.errors) == (2, 0, [])
    assert books(fragmented) == ([], [])


def test_a_dataset_that_was_never_published_has_no_table(store: Timestore) -> None:
    with store.staging() as staging:
        staging.enqueue("weather", rows(1))
    done = maintained(store)
    assert (done.has_table, done.ok) == (False, True)


def test_files_that_do_not_hold_the_old_rows_never_get_in(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = file_rows.FileRows.select
    monkeypatch.setattr(
        file_rows.FileRows, "select", lambda self: f"SELECT * REPLACE (n + 1 AS n) FROM ({select(self)})"
    )
    before = stored(fragmented)
    done = maintained(fragmented)
    assert [error.code for error in done.errors] == ["corrupted", "corrupted"]
    assert (stored(fragmented), live(fragmented)) == (before, before)


def test_a_row_that_is_lost_on_the_way_is_noticed(fragmented: Timestore, monkeypatch: pytest.MonkeyPatch) -> None:
    select = file_rows.FileRows.select
    monkeypatch.setattr(file_rows.FileRows, "select", lambda self: f"FROM ({select(self)}) LIMIT 29")
    assert [error.code for error in maintained(fragmented).errors] == ["corrupted", "corrupted"]


def test_a_damaged_file_stops_its_group_and_no_other(fragmented: Timestore) -> None:
    victim = live(fragmented)[0]
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT * FROM '{victim}' LIMIT 1) TO '{victim}' (FORMAT parquet)")
    done = maintained(fragmented)
    assert (done.compactions, [error.code for error in done.errors]) == (1, ["corrupted"])
    assert "holds 1 rows" in str(done.errors[0])


def test_a_group_is_skipped_when_its_files_were_replaced_meanwhile(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = TableMaintenance.replace

    def late(self: TableMaintenance, *arguments: object) -> int | None:
        monkeypatch.setattr(TableMaintenance, "replace", replace)
        other = fragmented.lake.table("weather").upkeep("other")
        files = other.files("at")
        assert files is not None
        DeltaTable(self.uri).optimize.compact()
        return replace(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TableMaintenance, "replace", late)
    before = content(fragmented)
    done = maintained(fragmented)
    assert (done.gave_way, done.errors) == (2, [])
    assert content(fragmented) == before
    assert books(fragmented) == ([], [])
    assert not [path for path in stored(fragmented) if path.name.startswith("compacted-")]


def test_a_group_is_skipped_when_its_files_were_replaced_and_deleted(
    fragmented: Timestore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    origins = TableMaintenance.origins
    theirs = settings.model_copy(update={"staging_directory": settings.home / "other", "shard": "other"})

    def late(self: TableMaintenance, *arguments: object) -> object:
        monkeypatch.setattr(TableMaintenance, "origins", origins)
        with Timestore(theirs) as other:
            assert len(maintained(other, retention=AT_ONCE).deleted) == 12
        return origins(self, *arguments)  # type: ignore[arg-type]

    before = content(fragmented)
    monkeypatch.setattr(TableMaintenance, "origins", late)
    done = maintained(fragmented)
    assert (done.gave_way, done.errors) == (2, [])
    assert content(fragmented) == before
    assert books(fragmented) == ([], [])


def test_ctrl_c_after_the_commit_ends_the_maintenance_and_keeps_the_file(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = TableMaintenance.replace

    def pressed(self: TableMaintenance, *arguments: object) -> None:
        replace(self, *arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    before = content(fragmented)
    monkeypatch.setattr(TableMaintenance, "replace", pressed)
    with pytest.raises(KeyboardInterrupt):
        maintained(fragmented)
    assert content(fragmented) == before
    assert books(fragmented) == ([], [])


def test_two_at_once_on_one_host_do_not_get_in_each_others_way(fragmented: Timestore) -> None:
    with maintaining(fragmented.area.directory.root / "maintain", "weather"):
        assert [error.code for error in maintained(fragmented).errors] == ["maintenance_in_progress"]
    assert maintained(fragmented, retention=AT_ONCE).ok


def test_a_shard_that_never_published_there_keeps_time_order_too(fragmented: Timestore, settings: Settings) -> None:
    theirs = settings.model_copy(update={"staging_directory": settings.home / "other", "shard": "other"})
    with Timestore(theirs) as other:
        assert maintained(other).files_after == 2
    for path in live(fragmented):
        times = pq.read_table(path, partitioning=None).column("at").to_pylist()
        assert times == sorted(times)
    assert books(fragmented) == ([], [])


def test_the_footer_says_whose_rows_they_are(fragmented: Timestore) -> None:
    maintained(fragmented)
    table = fragmented.lake.table("weather")
    for origins in table.origins(table.live_files()).values():
        assert list(origins.of_shard("shard-0")) == [(epoch, 5) for epoch in range(1, 7)]
