"""Segment files written once, read and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tests.staging.processes import run
from tests.staging.rows import SCHEMA, batches_in, contents, table, write
from timestore_pipeline.errors import AccessDenied, DiskFull, InvalidData, RetryLater, UnreadableSegment
from timestore_pipeline.model.batch import StagedBatch
from timestore_pipeline.model.schema_json import schema_from_json
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.segments import (
    SegmentHeader,
    attach_sealed,
    building,
    remove,
    translated,
    write_segment,
)
from timestore_pipeline.system import clock


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


def _one_batch(engine: duckdb.DuckDBPyConnection, path: Path, rows: pa.Table) -> None:
    batch = StagedBatch("b", 0, rows.num_rows, 8, clock.now(), None)
    header = SegmentHeader(path.stem, "shard-0", "weather", rows.schema)
    write_segment(engine, path, header, [(batch, rows)])


def test_what_was_written_is_read_and_nothing_lies_beside_it(path: Path) -> None:
    write(path, 3, 4, 5)
    assert batches_in(path) == {0: 3, 1: 4, 2: 5}
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("many", [20, 400_000])
def test_a_segment_takes_about_the_room_of_its_rows(engine: duckdb.DuckDBPyConnection, path: Path, many: int) -> None:
    rows = pa.table({"r": np.random.default_rng(1).random(many)})
    batch = StagedBatch("b", 0, many, rows.nbytes, clock.now(), None)
    write_segment(engine, path, SegmentHeader(path.stem, "shard-0", "weather", rows.schema), [(batch, rows)])
    assert path.stat().st_size < 70_000 + 1.1 * rows.nbytes


def test_a_segment_says_what_it_is(path: Path) -> None:
    write(path, 1)
    [(version, segment_id, shard, dataset, schema, *layout)] = _read(path, "SELECT * FROM read.segment")
    assert layout == [None, None]
    assert (version, segment_id, shard, dataset) == (2, "00ab", "shard-0", "weather")
    assert schema_from_json(str(schema)).equals(SCHEMA)


def test_a_segment_describes_its_batches(path: Path) -> None:
    promised = write(path, 3, 0, 5)
    [(text,)] = _read(path, "SELECT __timestore_commit FROM read.rows WHERE __timestore_batch = -1")
    assert json.loads(str(text)) == [
        {
            "batch_id": batch.batch_id,
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
    assert list(contents(path, "weather").batches) == promised


def test_an_empty_batch_leaves_only_its_description(path: Path) -> None:
    write(path, 0)
    assert batches_in(path) == {}
    assert len(contents(path, "weather").batches) == 1


def test_columns_may_be_called_anything(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    names = ['a"b', "select", "rows", "segment", "building", "ünï", "x y"]
    schema = pa.schema([pa.field(name, pa.int64()) for name in names])
    _one_batch(engine, path, pa.table({name: [n] for n, name in enumerate(names)}, schema=schema))
    assert _read(path, "SELECT * EXCLUDE (__timestore_batch, __timestore_commit) FROM read.rows LIMIT 1") == [
        tuple(range(len(names)))
    ]


def test_rows_that_duckdb_cannot_hold_leave_no_file_and_the_engine_goes_on(
    engine: duckdb.DuckDBPyConnection, path: Path
) -> None:
    schema = pa.schema([pa.field("m", pa.map_(pa.string(), pa.int64()))])
    twice = pa.table({"m": [[("a", 1), ("a", 2)]]}, schema=schema)
    with pytest.raises(InvalidData, match="duplicate key"):
        _one_batch(engine, path, twice)
    assert list(path.parent.iterdir()) == []
    engine.execute("DETACH building")  # as the pool does with what an error leaves
    _one_batch(engine, path, pa.table({"m": [[("a", 1)]]}, schema=schema))
    assert batches_in(path) == {0: 1}


def test_readers_do_not_keep_each_other_out(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    write(path, 3)
    attach_sealed(engine, path, "mine", "weather")
    script = """
import sys
from pathlib import Path
from tests.staging.rows import batches_in
print(batches_in(Path(sys.argv[1])))
"""
    assert run(script, path) == "{0: 3}"
    assert engine.execute("SELECT count(*) FROM mine.rows").fetchone() == (4,)


def test_a_damaged_segment_is_named_and_kept(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    write(path, 1)
    damaged = b"\0" * 4096 + path.read_bytes()[4096:]
    path.write_bytes(damaged)
    for reads in (lambda: attach_sealed(engine, path, "read", "weather"), lambda: contents(path, "weather")):
        with pytest.raises(UnreadableSegment, match=str(path)):
            reads()
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("offset", range(4096, 45056, 4096))
def test_whatever_part_is_damaged_no_other_error_comes_out(path: Path, offset: int) -> None:
    promised = write(path, 100)
    content = bytearray(path.read_bytes())
    content[offset : offset + 64] = bytes(byte ^ 0xFF for byte in content[offset : offset + 64])
    path.write_bytes(content)
    with suppress(UnreadableSegment):
        assert list(contents(path, "weather").batches) == promised
    assert path.read_bytes() == content


def test_a_missing_segment_is_unreadable(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    with pytest.raises(UnreadableSegment, match="is missing"):
        attach_sealed(engine, path, "read", "weather")


def test_removing_takes_everything_and_may_be_repeated(path: Path) -> None:
    write(path, 1)
    unfinished = building(path)
    for leftover in (unfinished, unfinished.with_name(f"{unfinished.name}.wal")):
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


def test_a_disk_that_fills_up_leaves_no_file(path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from timestore_pipeline.errors import TimestoreError
from tests.staging.rows import write
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    write(path, 100_000)
except TimestoreError as error:
    print(type(error).__name__, list(path.parent.iterdir()))
write(path, 20)
"""
    assert run(script, path) == "DiskFailing []"
    assert batches_in(path) == {0: 20}


def test_rows_are_the_ones_that_were_sent(path: Path) -> None:
    write(path, 50)
    assert _read(path, "SELECT x, s FROM read.rows WHERE __timestore_batch = 0") == [
        (row["x"], row["s"]) for row in table(50).to_pylist()
    ]
