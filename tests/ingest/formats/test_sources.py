"""Files come out as batches of exactly the asked-for size, in types that do not depend on the block, or not at all."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from timestore_pipeline.errors import UnreadableInput
from timestore_pipeline.ingest.formats.sources import open_source

AT = datetime(2013, 1, 1, 5, tzinfo=UTC)
TABLE = pa.table({"at": pa.array([AT] * 10, pa.timestamp("us", "UTC")), "n": range(10)})


def write_parquet(path: Path) -> None:
    pq.write_table(TABLE, path, row_group_size=3)


def write_ipc_file(path: Path) -> None:
    with pa.ipc.new_file(path, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=3)


def write_ipc_stream(path: Path) -> None:
    with pa.ipc.new_stream(path, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=3)


def write_feather(path: Path) -> None:
    pa.feather.write_feather(TABLE, path, compression="zstd")


def write_text(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def write_csv(path: Path) -> None:
    write_text(path, "at,n\n" + "".join(f"2013-01-01T05:00:00Z,{n}\n" for n in range(10)))


def write_ndjson(path: Path) -> None:
    write_text(path, "".join(f'{{"at": "2013-01-01T06:00:00+01:00", "n": {n}}}\n' for n in range(10)))


WRITERS: list[tuple[str, Callable[[Path], None]]] = [
    ("a.parquet", write_parquet),
    ("a.PQ", write_parquet),
    ("a.arrow", write_ipc_file),
    ("a.arrow", write_ipc_stream),
    ("a.ipc", write_ipc_file),
    ("a.arrows", write_ipc_stream),
    ("a.feather", write_feather),
    ("a.csv", write_csv),
    ("a.csv.gz", write_csv),
    ("a.ndjson", write_ndjson),
    ("a.jsonl.gz", write_ndjson),
    ("a.json", write_ndjson),
]


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_every_format_yields_the_same_rows_in_exact_batches(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / name)
    source = open_source(tmp_path / name)
    batches = list(source.batches(4))
    assert [(first, table.num_rows) for first, table in batches] == [(0, 4), (4, 4), (8, 2)]
    assert pa.concat_tables(table for _, table in batches).cast(TABLE.schema).equals(TABLE)
    assert source.total_rows == (None if write is write_ipc_stream else 10)


@pytest.mark.parametrize("rows", [1, 3, 10, 11])
def test_a_source_can_be_read_again_with_another_size(rows: int, tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet")
    for _ in range(2):
        numbers = [n for _, table in source.batches(rows) for n in table.column("n").to_pylist()]
        assert numbers == list(range(10))


@pytest.mark.parametrize("name", [name for name, _ in WRITERS])
def test_a_file_of_zero_bytes_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UnreadableInput, match="no rows") as caught:
        open_source(tmp_path / name)
    assert name in str(caught.value)


def test_a_csv_without_a_header_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\n\n")
    with pytest.raises(UnreadableInput, match=r"a\.csv has no rows, and no header line"):
        open_source(tmp_path / "a.csv")


def write_parquet_without_rows(path: Path) -> None:
    pq.write_table(TABLE.slice(0, 0), path)


def write_ipc_file_without_rows(path: Path) -> None:
    with pa.ipc.new_file(path, TABLE.schema):
        pass


def write_ipc_stream_without_rows(path: Path) -> None:
    with pa.ipc.new_stream(path, TABLE.schema):
        pass


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.parquet", write_parquet_without_rows),
        ("a.arrow", write_ipc_file_without_rows),
        ("a.arrows", write_ipc_stream_without_rows),
        ("a.csv", lambda path: path.write_text("at,n\n")),
    ],
    ids=["parquet", "ipc file", "ipc stream", "csv"],
)
def test_a_file_without_rows_is_one_table_without_rows(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / name)
    [(first, table)] = open_source(tmp_path / name).batches(10)
    assert (first, table.num_rows, table.column_names) == (0, 0, ["at", "n"])


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.csv.gz", "a.ndjson", "a.ndjson.gz"])
def test_content_that_contradicts_the_suffix_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"this is something else\n" * 10)
    with pytest.raises(UnreadableInput, match=name) as caught:
        open_source(tmp_path / name)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.gz", "a.parquet.gz", "a.txt"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnreadableInput, match=name) as caught:
        open_source(tmp_path / name)
    assert ".parquet" in caught.value.hint


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, problem in (("missing.parquet", "does not exist"), ("folder.csv", "cannot be read")):
        with pytest.raises(UnreadableInput, match=f"{name} {problem}"):
            open_source(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "write"), [w for w in WRITERS if w[0] not in ("a.csv",)], ids=[n for n, _ in WRITERS if n != "a.csv"]
)
def test_a_truncated_file_never_passes_for_a_whole_one(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(UnreadableInput, match=name):
        list(open_source(tmp_path / name).batches(4))


def test_a_batch_of_no_rows_is_a_programming_error(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="at least one"):
        list(open_source(tmp_path / "a.csv").batches(0))
