"""Files are replaced once, on top of the version in which they were seen; a later attempt gets a conflict."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import duckdb
import pytest
from deltalake import DeltaTable

from tests.lake.exporting import NUMBERS, publish
from timestore_pipeline.errors import Conflict, Fenced, OutcomeUnknown, TimestoreError
from timestore_pipeline.lake.maintenance import TableMaintenance
from timestore_pipeline.lake.replacing import OwnFile, Replacement
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.lake import EpochOutcome
from timestore_pipeline.model.thresholds import ParquetOptions


@pytest.fixture
def fragmented(table: LakeTable) -> LakeTable:
    for epoch in range(1, 5):
        publish(table, NUMBERS, epoch=epoch)
    return table


def swap(upkeep: TableMaintenance, con: duckdb.DuckDBPyConnection, old: Sequence[OwnFile] = ()) -> Replacement:
    """All files, or some, written as one."""
    found = upkeep.files(None)
    assert found is not None
    old = old or found.files
    paths = [f"{upkeep.uri}/{file.path}" for file in old]
    select = f"FROM read_parquet({paths})"
    generation, origins = upkeep.next_generation(), upkeep.origins(old)
    new = upkeep.write(con, select, old[0].partition, generation, origins, None, ParquetOptions())
    return Replacement(old, new)


def count(table: LakeTable) -> int:
    return DeltaTable(table.uri).count()


def test_the_rows_stay_and_the_files_change(fragmented: LakeTable, con: duckdb.DuckDBPyConnection) -> None:
    upkeep = fragmented.upkeep("shard-0")
    change = swap(upkeep, con)
    assert upkeep.replace(1, change, "me", {}) == 5
    assert [file.path for file in fragmented.live_files()] == [change.new.path]
    assert count(fragmented) == 12


def test_doing_it_again_changes_nothing(fragmented: LakeTable, con: duckdb.DuckDBPyConnection) -> None:
    upkeep = fragmented.upkeep("shard-0")
    change = swap(upkeep, con)
    assert upkeep.replace(1, change, "me", {}) == upkeep.replace(1, change, "me", {})
    assert count(fragmented) == 12


def test_another_claim_of_the_same_generation_is_fenced(fragmented: LakeTable, con: duckdb.DuckDBPyConnection) -> None:
    upkeep = fragmented.upkeep("shard-0")
    mine, theirs = swap(upkeep, con), swap(upkeep, con)
    upkeep.replace(1, theirs, "they", {})
    with pytest.raises(Fenced):
        upkeep.replace(1, mine, "me", {})
    assert count(fragmented) == 12


def test_another_shard_that_replaced_the_files_first_wins(
    fragmented: LakeTable, con: duckdb.DuckDBPyConnection
) -> None:
    one, other = fragmented.upkeep("shard-0"), fragmented.upkeep("shard-1")
    mine, theirs = swap(one, con), swap(other, con)
    other.replace(1, theirs, "they", {})
    with pytest.raises(Conflict, match="is no longer in"):
        one.replace(1, mine, "me", {})
    assert count(fragmented) == 12


def test_one_file_in_common_is_enough_to_give_way(fragmented: LakeTable, con: duckdb.DuckDBPyConnection) -> None:
    one, other = fragmented.upkeep("shard-0"), fragmented.upkeep("shard-1")
    found = one.files(None)
    assert found is not None
    mine, theirs = swap(one, con, found.files[:3]), swap(other, con, found.files[2:])
    other.replace(1, theirs, "they", {})
    with pytest.raises(Conflict):
        one.replace(1, mine, "me", {})
    assert count(fragmented) == 12


def test_flushes_get_in_beside_it(fragmented: LakeTable, con: duckdb.DuckDBPyConnection) -> None:
    upkeep = fragmented.upkeep("shard-0")
    change = swap(upkeep, con)
    publish(fragmented, NUMBERS, epoch=5)
    upkeep.replace(1, change, "me", {})
    publish(fragmented, NUMBERS, epoch=6)
    assert count(fragmented) == 18
    assert len(fragmented.live_files()) == 3


def test_shards_that_race_leave_every_row_once(fragmented: LakeTable) -> None:
    def race(number: int) -> str:
        upkeep = _opened_anew(fragmented).upkeep(f"shard-{number}")
        with duckdb.connect() as con:
            change = swap(upkeep, con)
        try:
            upkeep.replace(1, change, f"claim-{number}", {})
        except Conflict:
            return "gave way"
        return "won"

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(race, range(4)))
    assert "won" in results
    assert count(fragmented) == 12


def test_a_burnt_generation_gets_in_no_more(fragmented: LakeTable, con: duckdb.DuckDBPyConnection) -> None:
    upkeep = fragmented.upkeep("shard-0")
    change = swap(upkeep, con)
    assert upkeep.burn(1, "test", "me") is EpochOutcome.BURNT
    with pytest.raises(Fenced):
        upkeep.replace(1, change, "me", {})


def test_burning_a_published_epoch_returns_published(fragmented: LakeTable, con: duckdb.DuckDBPyConnection) -> None:
    upkeep = fragmented.upkeep("shard-0")
    upkeep.replace(1, swap(upkeep, con), "me", {})
    assert upkeep.burn(1, "test", "me") is EpochOutcome.PUBLISHED


def test_an_answer_that_is_lost_is_asked_of_the_log(
    fragmented: LakeTable, con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = DeltaTable.create_write_transaction

    def lost(self: DeltaTable, *arguments: object, **options: object) -> None:
        commit(self, *arguments, **options)  # type: ignore[arg-type]
        raise OSError("connection reset")

    upkeep = fragmented.upkeep("shard-0")
    change = swap(upkeep, con)
    monkeypatch.setattr(DeltaTable, "create_write_transaction", lost)
    assert upkeep.replace(1, change, "me", {}) == 5
    assert count(fragmented) == 12


def test_a_table_without_an_answer_leaves_the_outcome_open(
    fragmented: LakeTable, con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep = fragmented.upkeep("shard-0")
    change = swap(upkeep, con)

    def silent(self: DeltaTable, *_arguments: object, **_options: object) -> None:
        monkeypatch.setattr(DeltaTable, "__init__", _unreachable)
        raise OSError("connection reset")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", silent)
    with pytest.raises(OutcomeUnknown):
        upkeep.replace(1, change, "me", {})


def test_a_footer_that_does_not_add_up_is_refused(fragmented: LakeTable, con: duckdb.DuckDBPyConnection) -> None:
    upkeep = fragmented.upkeep("shard-0")
    upkeep.replace(1, swap(upkeep, con), "me", {})
    [file] = fragmented.live_files()
    assert fragmented.origins([file])[file.path].rows == {("shard-0", epoch): 3 for epoch in range(1, 5)}
    with pytest.raises(TimestoreError, match="its footer names"):
        fragmented.origins([replace(file, rows=13)])


def _opened_anew(table: LakeTable) -> LakeTable:
    root, _, name = table.uri.rpartition("/")
    return Lake(root).table(name)


def _unreachable(*_arguments: object, **_options: object) -> None:
    raise OSError("connection refused")
