"""A published column gets another type: the same rows in all readers, or a refusal that names the value."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.lake.reading import READERS, check_readable
from tests.maintain.retyping import retyped
from tests.maintain.small_files import AT_ONCE, Space, books, content, live, maintained, publish, rows, stored
from tests.staging.rolled import roll_up_all
from timestore_pipeline.errors import (
    Conflict,
    Corrupted,
    DiskFull,
    InvalidData,
    InvalidMetadata,
    MissingTable,
    SchemaConflict,
)
from timestore_pipeline.flush.attach import StagedSource, attach_sources
from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.maintain import file_rows, retype_request
from timestore_pipeline.maintain.dataset_maintenance import maintaining
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.model.recast import Leeway
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.wiring import Timestore


def column(store: Timestore, name: str) -> list[Any]:
    return sorted((row[name] for row in content(store)), key=str)


def published_type(store: Timestore, name: str) -> pa.DataType:
    return store.lake.table("weather").schema().field(name).type


def known_type(store: Timestore, name: str) -> pa.DataType:
    schema = store.area.ledger.datasets.get("weather").schema
    assert schema is not None
    return schema.field(name).type


def with_texts(store: Timestore, texts: list[str | None]) -> None:
    publish(store, 0, rows(0, code=[*texts, *[None] * (10 - len(texts))]))


def test_every_row_is_there_in_the_new_type_and_the_books_are_in_order(fragmented: Timestore) -> None:
    before = content(fragmented)
    done = retyped(fragmented, "n", "double")
    assert (done.changed, done.files, done.rows, done.written_files) == (True, 12, 60, 2)
    assert content(fragmented) == [{**row, "n": float(row["n"])} for row in before]
    assert (published_type(fragmented, "n"), known_type(fragmented, "n")) == (pa.float64(), pa.float64())
    assert books(fragmented) == ([], [])
    assert verify(fragmented.area, fragmented.lake, ["weather"], deep=True).ok


def test_all_documented_readers_see_the_new_type_and_the_old_one_by_version(fragmented: Timestore) -> None:
    uri = fragmented.lake.table("weather").uri
    version = retyped(fragmented, "n", "string").version
    assert version is not None
    check_readable(uri)
    for name, read in READERS.items():
        assert sorted(map(int, read(uri)["n"].to_pylist())) == list(range(60)), name
    old = DeltaTable(uri, version=version - 1)
    assert old.to_pyarrow_table()["n"].type == pa.int64()
    assert sorted(old.to_pyarrow_table()["n"].to_pylist()) == list(range(60))


def test_one_commit_takes_out_every_file_and_changes_the_columns(fragmented: Timestore) -> None:
    table = fragmented.lake.table("weather")
    before = {file.path for file in table.live_files()}
    kept = DeltaTable(table.uri).metadata()
    version = retyped(fragmented, "n", "double").version
    history = table.history()
    assert history is not None
    [commit] = [commit for commit in history.commits if commit.version == version]
    assert commit.removed == before
    assert sum(rows for rows in commit.added.values() if rows) == 60
    assert (commit.metadata["column"], commit.metadata["from"], commit.metadata["to"]) == ("n", "int64", "double")
    now = DeltaTable(table.uri).metadata()
    assert (now.id, now.partition_columns, now.configuration) == (kept.id, kept.partition_columns, kept.configuration)


def test_files_keep_their_order_their_statistics_and_whose_rows_they_hold(fragmented: Timestore) -> None:
    retyped(fragmented, "n", "double")
    for path in live(fragmented):
        read = pq.read_table(path, partitioning=None)
        assert read["at"].to_pylist() == sorted(read["at"].to_pylist())
    table = fragmented.lake.table("weather")
    adds = pa.table(DeltaTable(table.uri).get_add_actions(flatten=True)).to_pylist()
    assert [(add["min.n"], add["max.n"], add["null_count.n"]) for add in adds] == [(0.0, 58.0, 0), (1.0, 59.0, 0)]
    total: dict[tuple[str, int], int] = {}
    for origins in table.origins(table.live_files()).values():
        for origin, amount in origins.rows.items():
            total[origin] = total.get(origin, 0) + amount
    assert total == {("shard-0", epoch): 10 for epoch in range(1, 7)}


def test_a_dry_run_says_the_same_and_changes_nothing(fragmented: Timestore) -> None:
    before, version = stored(fragmented), DeltaTable(fragmented.lake.table("weather").uri).version()
    done = retyped(fragmented, "n", "double", dry_run=True)
    assert (done.changed, done.files, done.rows, done.unfit, done.before, done.after) == (
        False, 12, 60, 0, "int64", "double",
    )  # fmt: skip
    assert stored(fragmented) == before
    assert DeltaTable(fragmented.lake.table("weather").uri).version() == version


def test_values_that_do_not_fit_are_counted_and_named_with_file_and_row(fragmented: Timestore) -> None:
    publish(fragmented, 6, rows(6, code=["7", "seven", "8", "9", "x", "1", "2", "3", "4", "5"]))
    done = retyped(fragmented, "code", "int64", dry_run=True)
    assert (done.unfit, sorted(one.value for one in done.examples)) == (2, ["seven", "x"])
    for one in done.examples:
        [path] = [path for path in live(fragmented) if str(path).endswith(one.file)]
        assert pq.read_table(path, partitioning=None)["code"][one.row].as_py() == one.value
    with pytest.raises(InvalidData, match=r"column 'code' holds \w+ \(string\) in row \d of partition_date=.*2 rows"):
        retyped(fragmented, "code", "int64")
    assert published_type(fragmented, "code") == pa.string()
    assert books(fragmented) == ([], [])


def test_text_that_only_reads_as_a_number_needs_to_be_asked_for(store: Timestore) -> None:
    with_texts(store, ["007", "8", None])
    with pytest.raises(InvalidData, match="holds 007"):
        retyped(store, "code", "int64")
    retyped(store, "code", "int64", Leeway(parse=True))
    assert column(store, "code") == [7, 8, *[None] * 8]


def test_local_times_become_instants_and_instants_local_times_when_it_is_said(fragmented: Timestore) -> None:
    before = [row["at"] for row in content(fragmented)]
    with pytest.raises(InvalidData, match="known to be in UTC") as refused:
        retyped(fragmented, "at", "local_timestamp")
    assert refused.value.hint.startswith("--local-is-utc")
    retyped(fragmented, "at", "local_timestamp", Leeway(local_is_utc=True))
    assert sorted(row["at"].replace(tzinfo=UTC) for row in content(fragmented)) == sorted(before)
    check_readable(fragmented.lake.table("weather").uri)
    publish(fragmented, 9, rows(9).set_column(0, "at", [[datetime(2013, 1, 1, 5)] * 10]))
    assert books(fragmented) == ([], [])
    retyped(fragmented, "at", "timestamp", Leeway(local_is_utc=True))
    assert published_type(fragmented, "at") == pa.timestamp("us", "UTC")
    assert books(fragmented) == ([], [])


@pytest.mark.parametrize("granularity", ["hour", "day", "month", "none"])
def test_a_date_time_column_becomes_a_timestamp_in_every_layout(store: Timestore, granularity: str) -> None:
    store.area.ledger.datasets.ensure("weather")
    store.set_metadata("weather", {"partition": {"granularity": granularity}})
    for number in range(2):
        table = rows(number)
        publish(store, number, table.set_column(0, "at", table["at"].cast(pa.date32())))
    before = {row["n"]: row["at"] for row in content(store)}
    retyped(store, "at", "timestamp")
    midnight = {n: datetime(day.year, day.month, day.day, tzinfo=UTC) for n, day in before.items()}
    assert {row["n"]: row["at"] for row in content(store)} == midnight
    publish(store, 3)
    assert books(store) == ([], [])


def test_a_field_of_a_struct_is_named_by_its_path(fragmented: Timestore) -> None:
    publish(fragmented, 6, rows(6, place=[{"id": n, "name": "x"} for n in range(10)]))
    retyped(fragmented, "place.id", "string")
    expected = pa.struct([("id", pa.string()), ("name", pa.string())])
    assert known_type(fragmented, "place") == expected
    found = [row["place"] for row in content(fragmented) if row["place"]]
    assert sorted(place["id"] for place in found) == [str(n) for n in range(10)]
    assert books(fragmented) == ([], [])


def test_what_is_inside_lists_and_maps_is_named_as_in_errors(store: Timestore) -> None:
    marks = pa.array([[("a", 1)]] * 10, pa.map_(pa.string(), pa.int64()))
    publish(store, 0, rows(0, tags=[[{"a.b": n}] for n in range(10)], marks=marks))
    retyped(store, "tags[].a.b", "string")
    retyped(store, "marks{value}", "double")
    retyped(store, "marks{key}", "binary")
    assert known_type(store, "tags") == pa.list_(pa.struct([("a.b", pa.string())]))
    assert known_type(store, "marks") == pa.map_(pa.binary(), pa.float64())
    assert column(store, "tags") == [[{"a.b": str(n)}] for n in range(10)]
    assert books(store) == ([], [])


def test_a_list_that_was_only_ever_empty_becomes_one_of_anything(store: Timestore) -> None:
    publish(store, 0, rows(0, tags=pa.array([[]] * 9 + [None], pa.list_(pa.string()))))
    retyped(store, "tags", "list<struct<a: double>>")
    assert column(store, "tags") == [None, *[[]] * 9]
    publish(store, 1, rows(1, tags=[[{"a": 1.5}]] * 10))
    assert books(store) == ([], [])


def test_a_column_that_some_files_lack_stays_null_in_them(fragmented: Timestore) -> None:
    publish(fragmented, 6, rows(6, extra=list(range(10))))
    retyped(fragmented, "extra", "double")
    assert column(fragmented, "extra") == [*map(float, range(10)), *[None] * 60]
    assert books(fragmented) == ([], [])


def test_staged_rows_of_the_old_type_are_published_in_the_new_one(fragmented: Timestore) -> None:
    with fragmented.staging() as staging:
        staging.enqueue("weather", rows(7))
    retyped(fragmented, "n", "string")
    fragmented.flush("weather", Trigger.MANUAL, "test")
    assert column(fragmented, "n") == sorted(str(n) for n in [*range(60), *range(70, 80)])
    assert books(fragmented) == ([], [])


def test_staged_values_that_do_not_fit_refuse_the_change_before_anything_is_written(store: Timestore) -> None:
    with_texts(store, ["7"])
    with store.staging() as staging:
        receipt = staging.enqueue("weather", rows(1, code=["seven"] * 10))
    before = stored(store)
    assert list(retyped(store, "code", "int64", dry_run=True).unfit_batches) == [receipt.batch_id]
    with pytest.raises(InvalidData, match=f"batch {receipt.batch_id} is staged: column 'code' holds seven"):
        retyped(store, "code", "int64")
    assert stored(store) == before


def test_a_batch_that_is_rolled_up_while_it_is_looked_for_is_checked_all_the_same(
    store: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_texts(store, ["7"])
    with store.staging() as staging:
        receipt = staging.enqueue("weather", rows(1, code=["seven"] * 10))

    def roll_up_first(*arguments: Any) -> list[StagedSource]:
        monkeypatch.setattr(retype_request, "attach_sources", attach_sources)
        roll_up_all(store.area)
        assert store.area.directory.journal_files() == []
        return attach_sources(*arguments)

    monkeypatch.setattr(retype_request, "attach_sources", roll_up_first)
    assert list(retyped(store, "code", "int64", dry_run=True).unfit_batches) == [receipt.batch_id]


def test_a_producer_of_the_old_type_is_refused_and_one_of_the_new_type_accepted(store: Timestore) -> None:
    with_texts(store, ["7"])
    retyped(store, "code", "int64")
    with store.staging() as staging:
        with pytest.raises(SchemaConflict):
            staging.enqueue("weather", rows(1, code=["8"] * 10))
        staging.enqueue("weather", rows(1, code=[8] * 10))


def test_a_declared_type_follows(store: Timestore) -> None:
    store.set_metadata("weather", {"schema": {"columns": {"code": "string", "n": "int64"}}})
    with_texts(store, ["7"])
    retyped(store, "code", "double")
    declared = store.area.ledger.datasets.get("weather").metadata.schema_.columns
    assert declared == {"code": "double", "n": "int64"}


def test_a_query_reads_staged_rows_in_the_new_type_before_the_ledger_adopts_it(
    store: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash between commit and ledger, and on every other host."""
    with_texts(store, ["7"])
    with store.staging() as staging:
        staging.enqueue("weather", rows(1, code=["8"] * 10))
    monkeypatch.setattr("timestore_pipeline.maintain.column_retype.fit_table", lambda *_: None)
    retyped(store, "code", "int64")
    assert known_type(store, "code") == pa.string()
    with store.query("SELECT code FROM weather WHERE code IS NOT NULL ORDER BY code") as answer:
        read = answer.rows.read_all()
    assert (read.schema.field("code").type, read["code"].to_pylist()) == (pa.int64(), [7, *[8] * 10])
    store.flush("weather", Trigger.MANUAL, "test")
    assert known_type(store, "code") == pa.int64()
    assert books(store) == ([], [])


def test_a_second_run_rewrites_nothing_and_completes_the_ledger(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("timestore_pipeline.maintain.column_retype.fit_table", lambda *_: None)
        retyped(fragmented, "n", "double")
    before = live(fragmented)
    done = retyped(fragmented, "n", "double")
    assert (done.needed, done.changed, live(fragmented)) == (False, False, before)
    assert known_type(fragmented, "n") == pa.float64()


def test_back_and_forth_ends_where_it_began(fragmented: Timestore) -> None:
    before = content(fragmented)
    for kind in ("double", "string", "double", "int64"):
        retyped(fragmented, "n", kind)
    assert content(fragmented) == before
    assert books(fragmented) == ([], [])


def test_replaced_files_go_with_the_next_maintenance(fragmented: Timestore) -> None:
    retyped(fragmented, "n", "double")
    assert len(stored(fragmented)) == 14
    assert maintained(fragmented, retention=AT_ONCE).errors == []
    assert stored(fragmented) == live(fragmented)
    assert books(fragmented) == ([], [])


def test_a_checkpoint_and_a_trimmed_log_keep_the_leeway(store: Timestore) -> None:
    with_texts(store, ["007"])
    with store.staging() as staging:
        staging.enqueue("weather", rows(1, code=["08"] * 10))
    retyped(store, "code", "int64", Leeway(parse=True))
    table = store.lake.table("weather")
    DeltaTable(table.uri).create_checkpoint()
    assert table.leeway("code") == Leeway(parse=True)
    assert table.leeway("n") is None
    store.flush("weather", Trigger.MANUAL, "test")
    assert column(store, "code") == [7, *[8] * 10, *[None] * 9]


def test_a_new_file_that_is_not_the_old_rows_is_never_committed(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = file_rows.FileRows.select
    monkeypatch.setattr(file_rows.FileRows, "select", lambda self: f"{real(self)} OFFSET 1")
    before = live(fragmented)
    with pytest.raises(Corrupted, match="they are not the same"):
        retyped(fragmented, "n", "double")
    assert (live(fragmented), stored(fragmented)) == (before, before)
    assert books(fragmented) == ([], [])


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("wind", "double", "there is no published column 'wind'"),
        ("n.x", "double", "there is no published column 'n.x'"),
        ("n[]", "double", r"there is no published column 'n\[\]'"),
        ("partition_date", "string", "there is no published column 'partition_date'"),
        ("n", "number", "there is no type 'number'"),
        ("n", "epoch_ms", "epoch_ms says how values are read, .* is not recorded"),
        ("n", "uuid", "uuid says how values are read, .*: text keeps the spelling in which it was published"),
        ("n", "duration", "duration says how values are read, .*: it is published as int64, in microseconds"),
        ("at", "string", "'at' is the table's time column"),
    ],
)
def test_impossible_requests_are_refused_by_name(fragmented: Timestore, path: str, kind: str, said: str) -> None:
    with pytest.raises(InvalidMetadata, match=said) as refused:
        retyped(fragmented, path, kind)
    assert refused.value.hint


def test_before_anything_is_published_the_type_is_declared_instead(store: Timestore) -> None:
    with store.staging() as staging:
        staging.enqueue("weather", rows(0))
    with pytest.raises(MissingTable) as refused:
        retyped(store, "n", "double")
    assert "schema.columns.n=double" in refused.value.hint


def test_files_of_other_tools_are_not_rewritten(fragmented: Timestore) -> None:
    write_deltalake(fragmented.lake.table("weather").uri, _foreign(), mode="append")
    with pytest.raises(Conflict, match="other tools wrote 1 files of 'weather'"):
        retyped(fragmented, "n", "double")


def test_other_maintenance_of_the_dataset_is_kept_out(fragmented: Timestore) -> None:
    with maintaining(fragmented.area.directory.root / "maintain", "weather"):
        assert _raised(lambda: retyped(fragmented, "n", "double")) == "maintenance_in_progress"


def test_a_commit_that_fails_leaves_no_file_behind(fragmented: Timestore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise InvalidData("injected")

    before = stored(fragmented)
    monkeypatch.setattr(TableMaintenance, "retype", refuse)
    with pytest.raises(InvalidData, match="injected"):
        retyped(fragmented, "n", "double")
    assert (live(fragmented), stored(fragmented)) == (before, before)


def test_without_room_for_all_new_files_it_does_not_begin(
    fragmented: Timestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, needed = stored(fragmented), retyped(fragmented, "n", "double", dry_run=True).bytes
    monkeypatch.setattr("shutil.disk_usage", lambda _: Space(10 * needed, 0, needed - 1))
    with pytest.raises(DiskFull, match=f"needs {needed} for 12 files"):
        retyped(fragmented, "n", "double")
    assert stored(fragmented) == before
    monkeypatch.setattr("shutil.disk_usage", lambda _: Space(10 * needed, 0, 2 * needed))
    assert retyped(fragmented, "n", "double").changed


def test_the_report_is_json(fragmented: Timestore) -> None:
    document = json.loads(json.dumps(retyped(fragmented, "n", "double", dry_run=True).to_dict()))
    assert (document["from"], document["to"], document["rows"], document["unfit_rows"]) == ("int64", "double", 60, 0)


def _foreign() -> pa.Table:
    day = pa.array([datetime(2013, 1, 1)], pa.timestamp("us", "UTC"))
    return pa.table({"at": day, "n": [1], "partition_date": day.cast(pa.date32())})


def _raised(action: Callable[[], object]) -> str:
    try:
        action()
    except Exception as error:  # noqa: BLE001
        return str(getattr(error, "code", error))
    return ""
