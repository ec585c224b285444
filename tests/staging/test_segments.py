"""Segment files written, sealed, read and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
import pytest

from tests.staging.processes import run
from tests.staging.rows import SCHEMA, append, batches_in, open_segment, table
from timestore_pipeline import clock
from timestore_pipeline.durable import sync
from timestore_pipeline.errors import AccessDenied, DiskFull, InvalidData, RetryLater, UnreadableSegment
from timestore_pipeline.model.batch import StagedBatch
from timestore_pipeline.model.columns import schema_from_json
from timestore_pipeline.staging import segments
from timestore_pipeline.staging.directory import write_ahead_log
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.segments import attach_sealed, new_segment_id, remove, replay, translated


@pytest.fixture
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_engine() as connection:
        yield connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weather" / "00ab.duckdb"


def _read(path: Path, sql: str) -> list[tuple[object, ...]]:
    with open_engine() as connection:
        attach_sealed(connection, path, "read", "weather")
        return connection.execute(sql).fetchall()


def test_what_was_appended_is_read_after_the_seal(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    segment = open_segment(engine, path)
    append(segment, 3, 4)
    append(segment, 5)
    segment.seal()
    assert batches_in(path) == {0: 3, 1: 4, 2: 5}
    assert segment.bytes == 8 * 12
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_segment_says_what_it_is(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    open_segment(engine, path).seal()
    [(version, segment_id, shard, dataset, schema, *layout)] = _read(path, "SELECT * FROM read.segment")
    assert layout == [None, None]
    assert (version, segment_id, shard, dataset) == (1, "00ab", "shard-0", "weather")
    assert schema_from_json(str(schema)).equals(SCHEMA)


def test_each_commit_describes_its_batches(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    segment = open_segment(engine, path)
    promised = [*append(segment, 3, 0), *append(segment, 5)]
    segment.seal()
    rows = _read(path, "SELECT __timestore_commit FROM read.rows WHERE __timestore_batch = -1")
    described = [document for (text,) in rows for document in json.loads(str(text))]
    assert described == [
        {
            "sequence": batch.sequence,
            "idempotency_key": batch.idempotency_key,
            "rows": batch.rows,
            "bytes": batch.bytes,
            "staged_at": clock.to_micros(batch.staged_at),
        }
        for batch in promised
    ]
    [(others,)] = _read(path, "SELECT count(*) FROM read.rows WHERE __timestore_batch >= 0 AND __timestore_commit > ''")
    assert others == 0


def test_an_empty_batch_leaves_only_its_description(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    segment = open_segment(engine, path)
    append(segment, 0)
    segment.seal()
    assert batches_in(path) == {}


def test_columns_may_be_called_anything(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    names = ['a"b', "select", "rows", "segment", "ünï", "x y"]
    schema = pa.schema([pa.field(name, pa.int64()) for name in names])
    segment = open_segment(engine, path, schema)
    batch = StagedBatch("b", segment.take_sequence(), 1, 8, clock.now(), None)
    segment.append([(batch, pa.table({name: [n] for n, name in enumerate(names)}, schema=schema))])
    segment.seal()
    assert _read(path, "SELECT * EXCLUDE (__timestore_batch, __timestore_commit) FROM read.rows LIMIT 1") == [
        tuple(range(len(names)))
    ]


def test_rows_that_duckdb_cannot_hold_are_the_producers_to_correct(
    engine: duckdb.DuckDBPyConnection, path: Path
) -> None:
    schema = pa.schema([pa.field("m", pa.map_(pa.string(), pa.int64()))])
    segment = open_segment(engine, path, schema)
    twice = pa.table({"m": [[("a", 1), ("a", 2)]]}, schema=schema)
    with pytest.raises(InvalidData, match="duplicate key"):
        segment.append([(StagedBatch("b", segment.take_sequence(), 1, 8, clock.now(), None), twice)])
    once = pa.table({"m": [[("a", 1)]]}, schema=schema)
    segment.append([(StagedBatch("c", segment.take_sequence(), 1, 8, clock.now(), None), once)])
    segment.seal()
    assert batches_in(path) == {1: 1}


def test_a_log_that_takes_the_place_of_one_that_was_folded_in_is_listed_before_its_rows_count(
    engine: duckdb.DuckDBPyConnection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, listed, kept = write_ahead_log(path), set[int](), dict[int, BinaryIO]()

    def noted(folder: Path) -> None:
        sync(folder)
        listed.update(log.stat().st_ino for log in folder.glob("*.wal"))

    monkeypatch.setattr(segments, "sync", noted)
    engine.execute("SET checkpoint_threshold = '64KiB'")
    segment = open_segment(engine, path)
    with ExitStack() as stack:
        for _ in range(20):
            append(segment, 500)
            if log.exists():
                inode = log.stat().st_ino
                assert inode in listed
                if inode not in kept:  # as long as it is open no other file gets its number
                    kept[inode] = stack.enter_context(log.open("rb"))
    assert len(kept) > 1


def test_segment_ids_sort_by_time_and_never_collide() -> None:
    ids = [new_segment_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [identity[:16] for identity in ids] == sorted(identity[:16] for identity in ids)


def test_a_segment_held_by_a_living_process_is_not_taken_over(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    segment = open_segment(engine, path)
    append(segment, 3)
    script = """
import sys
from pathlib import Path
from timestore_pipeline.errors import RetryLater
from timestore_pipeline.staging.segments import replay
try:
    replay(Path(sys.argv[1]), "weather")
except RetryLater as error:
    print(error)
"""
    assert run(script, path) == f"{path} is held by a process"
    segment.seal()
    assert batches_in(path) == {0: 3}


def test_a_damaged_segment_is_named_and_kept(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    open_segment(engine, path).seal()
    damaged = b"\0" * 4096 + path.read_bytes()[4096:]
    path.write_bytes(damaged)
    with pytest.raises(UnreadableSegment, match=str(path)):
        replay(path, "weather")
    with pytest.raises(UnreadableSegment, match=str(path)):
        attach_sealed(engine, path, "read", "weather")
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("offset", range(4096, 45056, 4096))
def test_whatever_part_is_damaged_no_other_error_comes_out(
    engine: duckdb.DuckDBPyConnection, path: Path, offset: int
) -> None:
    segment = open_segment(engine, path)
    append(segment, 100)
    segment.seal()
    content = bytearray(path.read_bytes())
    content[offset : offset + 64] = bytes(byte ^ 0xFF for byte in content[offset : offset + 64])
    path.write_bytes(content)
    try:
        replay(path, "weather", {0: 100})
    except UnreadableSegment:
        assert path.read_bytes() == content
    else:
        assert batches_in(path) == {0: 100}


def test_a_missing_segment_is_unreadable(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    with pytest.raises(UnreadableSegment, match="is missing"):
        replay(path, "weather")
    with pytest.raises(UnreadableSegment, match="is missing"):
        attach_sealed(engine, path, "read", "weather")


def test_removing_takes_everything_and_may_be_repeated(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    open_segment(engine, path).seal()
    building = path.with_suffix(".building")
    for leftover in (write_ahead_log(path), building, write_ahead_log(building)):
        leftover.write_bytes(b"")
    remove(path)
    remove(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device"), DiskFull),
        (duckdb.TransactionException("Failed to commit: Disk quota exceeded"), DiskFull),
        (duckdb.IOException("Could not set lock on file"), RetryLater),
        (duckdb.OutOfMemoryException("failed to allocate"), RetryLater),
        (duckdb.IOException("Cannot open file: Too many open files"), RetryLater),
        (duckdb.Error("Corrupt database file"), UnreadableSegment),
        (PermissionError(13, "Permission denied"), AccessDenied),
        (duckdb.IOException("Cannot open file: Read-only file system"), AccessDenied),
    ],
)
def test_errors_are_sorted_by_remedy(path: Path, error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected, match=str(path)), translated(path, "weather"):
        raise error


def test_a_full_disk_refuses_a_commit_and_the_segment_goes_on(path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.staging.engine import open_engine
from tests.staging.rows import append, open_segment
segment = open_segment(open_engine(), Path(sys.argv[1]))
append(segment, 10)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    append(segment, 100_000)
except TimestoreError as error:
    print(type(error).__name__)
append(segment, 20)
segment.seal()
"""
    assert run(script, path) == "DiskFailing"
    assert batches_in(path) == {0: 10, 2: 20}


def test_rows_are_the_ones_that_were_sent(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    segment = open_segment(engine, path)
    append(segment, 50)
    segment.seal()
    assert _read(path, "SELECT x, s FROM read.rows WHERE __timestore_batch = 0") == [
        (row["x"], row["s"]) for row in table(50).to_pylist()
    ]


def test_a_segment_that_this_very_process_still_writes_is_held_and_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "weather" / "00ab.duckdb"
    with open_engine() as engine:
        segment = open_segment(engine, path)
        with pytest.raises(RetryLater, match="is held"):
            replay(path, "weather", {})
        segment.seal()
    replay(path, "weather", {})
