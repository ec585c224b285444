"""Parquet and Arrow files say things of themselves; none is believed where the content says otherwise."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from timestore_pipeline.errors import InvalidData, UnreadableInput
from timestore_pipeline.ingest.formats.sources import open_source
from timestore_pipeline.ingest.values.flatbuffer import wide_columns

TABLE = pa.table({"at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 40, pa.timestamp("us", "UTC")), "n": range(40)})


def read(path: Path) -> pa.Table:
    return pa.concat_tables([table for _, table in open_source(path).batches(1000)])


def stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=10)
    return bytes(sink.getvalue())


def test_no_flipped_byte_of_a_page_is_read_as_another_value(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    options: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(TABLE.select(["n"]), path, write_page_checksum=True, **options)
    whole = path.read_bytes()
    first = whole.index((1).to_bytes(8, "little"))
    for place in range(first, first + 38 * 8):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(UnreadableInput, match=r"f\.parquet cannot be read: .*(?i:crc|checksum)"):
            read(path)


def test_a_stream_that_ends_between_two_batches_is_no_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "f.arrows"
    path.write_bytes(stream(TABLE)[:-8])
    with pytest.raises(UnreadableInput, match="the stream has no end"):
        read(path)


def test_a_second_stream_behind_the_first_is_not_lost_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "f.arrows"
    path.write_bytes(stream(TABLE) * 2)
    with pytest.raises(UnreadableInput, match="bytes follow the stream's end"):
        read(path)


def test_a_whole_stream_is_read(tmp_path: Path) -> None:
    (tmp_path / "f.arrows").write_bytes(stream(TABLE))
    assert read(tmp_path / "f.arrows").equals(TABLE)


def int96(path: Path, *values: str) -> Path:
    array = pa.array(values).cast(pa.timestamp("us" if all(len(value) < 27 for value in values) else "ns"))
    table = pa.table({"v": array, "in": pa.array([[value] for value in array], pa.list_(array.type))})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True, store_schema=False)
    return path


def test_the_last_day_of_spark_is_read_as_it_is(tmp_path: Path) -> None:
    table = read(int96(tmp_path / "f.parquet", "9999-12-31", "2026-01-01 00:00:00.000001"))
    assert table.column("v").to_pylist() == [datetime(9999, 12, 31), datetime(2026, 1, 1, 0, 0, 0, 1)]
    assert table.column("in").to_pylist()[0] == [datetime(9999, 12, 31)]


def test_nanoseconds_of_int96_are_not_cut_off(tmp_path: Path) -> None:
    table = read(int96(tmp_path / "f.parquet", "2026-01-01 00:00:00.000000001"))
    assert table.column("v").cast(pa.int64()).to_pylist()[0] % 1000 == 1


def test_int96_with_nanoseconds_and_a_far_year_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    fine = pa.array([1], pa.timestamp("ns"))
    far = pa.array([datetime(9999, 12, 31)], pa.timestamp("us"))
    pq.write_table(pa.table({"fine": fine, "far": far}), path, use_deprecated_int96_timestamps=True, store_schema=False)
    with pytest.raises(InvalidData, match=r"'far'.* column 'fine' has nanoseconds"):
        read(path)


@pytest.mark.parametrize("value", ["interval 1 month", "[interval 1 day]", "{'x': interval 1 day}"])
def test_an_interval_of_parquet_is_refused_and_no_twelve_bytes(value: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    duckdb.sql(f"COPY (SELECT 1 AS n, {value} AS v) TO '{path}'")
    with pytest.raises(InvalidData, match=r"column 'v.*' has type INTERVAL of Parquet") as caught:
        read(path)
    assert "months" in (caught.value.hint or "")


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows"])
@pytest.mark.parametrize(
    ("column", "named"),
    [
        (pl.Series("wide", [2**100], dtype=pl.Int128), "'wide'"),
        (pl.Series("s", [{"n": 1, "wide": 2}], dtype=pl.Struct({"n": pl.Int64, "wide": pl.UInt128})), "'s.wide'"),
    ],
)
def test_integers_of_128_bits_in_a_file_are_refused_by_column(
    suffix: str, column: pl.Series, named: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    writers = {"parquet": "write_parquet", "arrow": "write_ipc", "arrows": "write_ipc_stream"}
    getattr(pl.DataFrame([pl.Series("n", [1]), column]), writers[suffix])(path)
    with pytest.raises(InvalidData, match=f"column {named} has type Int128, which Arrow cannot read from ") as caught:
        read(path)
    assert "Decimal(38, 0)" in caught.value.hint


@pytest.mark.parametrize("cut", [9, 16, 40, 100])
def test_a_file_that_is_damaged_too_names_no_column(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "a.arrows"
    pl.DataFrame({"wide": pl.Series([1], dtype=pl.Int128)}).write_ipc_stream(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + bytes(reversed(whole[cut : cut + 50])))
    wide_columns(path)
    with pytest.raises(UnreadableInput):
        read(path)


def test_a_uuid_of_parquet_is_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"v": pa.array([uuid.UUID(int=1)])}), tmp_path / "f.parquet", store_schema=False)
    assert read(tmp_path / "f.parquet").schema.field("v").type == pa.uuid()


RUNS = pa.run_end_encoded(pa.int32(), pa.string())
ODD = [pa.dictionary(pa.int8(), pa.string_view()), RUNS, pa.list_(RUNS), pa.list_view(pa.int8())]


@pytest.mark.parametrize("type_", ODD, ids=str)
@pytest.mark.parametrize("name", ["f.arrows", "f.arrow"])
def test_arrow_files_of_any_layout_are_read_also_without_rows(type_: pa.DataType, name: str, tmp_path: Path) -> None:
    schema = pa.schema([("v", type_)])
    make = pa.ipc.new_stream if name == "f.arrows" else pa.ipc.new_file
    with make(str(tmp_path / name), schema):
        pass
    assert read(tmp_path / name).num_rows == 0


def with_enums(path: Path, table: pa.Table) -> None:
    """A file in which strings are declared enums, as Avro's and Java's writers do."""
    pq.write_table(table, path, store_schema=False, compression="none")
    content = path.read_bytes()
    string, enum = b"\x25\x00\x4c\x1c\x00\x00", b"\x25\x08\x4c\x4c\x00\x00"  # converted and logical type, in Thrift
    assert string in content
    path.write_bytes(content.replace(string, enum))


def test_an_enum_of_parquet_is_text_at_any_depth(tmp_path: Path) -> None:
    pairs = pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string()))
    inner = pa.array([{"x": 1, "y": ["a", None]}, None])
    table = pa.table({"n": [1, 2], "v": ["a", None], "o": inner, "m": pairs, "b": [b"\xff", None]})
    with_enums(tmp_path / "a.parquet", table)
    assert pq.ParquetFile(tmp_path / "a.parquet").schema.column(1).logical_type.type == "ENUM"
    [(_, found)] = open_source(tmp_path / "a.parquet").batches(10)
    assert found.to_pydict() == table.to_pydict()
    with_enums(tmp_path / "b.parquet", table.slice(0, 0))
    [(_, found)] = open_source(tmp_path / "b.parquet").batches(10)
    assert found.schema.field("v").type == pa.string()


def test_an_enum_that_is_no_text_is_damage(tmp_path: Path) -> None:
    with_enums(tmp_path / "a.parquet", pa.table({"v": ["\u00e9" * 10]}))
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content.replace("\u00e9".encode() * 10, b"\xe9" * 20))
    with pytest.raises(UnreadableInput, match="UTF8"):
        list(open_source(tmp_path / "a.parquet").batches(10))
