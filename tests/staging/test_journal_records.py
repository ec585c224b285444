"""Records as they lie in a journal: whole, torn, flipped, and found again behind what is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from tests.staging.journals import flip, record, records_in, write
from tests.staging.rows import SCHEMA, table
from timestore_pipeline.errors import UnreadableSegment
from timestore_pipeline.staging import journal_records
from timestore_pipeline.staging.journal_records import (
    MAGIC,
    Record,
    RecordHeader,
    RecordLayout,
    Scan,
    encode,
    first_line,
    read_record,
    scan,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "00ab.journal"


def read(path: Path, offset: int) -> Record:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return read_record(descriptor, path, offset)
    finally:
        os.close(descriptor)


def same(found: Record, written: Record) -> bool:
    return (
        (found.dataset, found.layout, list(found.batches)) == (written.dataset, written.layout, list(written.batches))
        and found.rows.equals(written.rows)
    )  # fmt: skip


def streams(found: Scan) -> list[str]:
    return [one.record.batches[0].batch_id.rpartition("-")[0] for one in found.records]


def test_a_record_is_read_as_it_was_written(path: Path) -> None:
    written = [
        record(3, 0, 2, layout=RecordLayout(SCHEMA, "x", "day")),
        record(0, dataset="e", stream="c"),
        record(1, stream="ü\n"),
    ]
    offsets = write(path, *written)
    for offset, one in zip(offsets, written, strict=True):
        assert same(read(path, offset), one)


def test_a_records_batches_are_slices_of_its_rows(path: Path) -> None:
    [offset] = write(path, record(3, 0, 2))
    slices = list(read(path, offset).slices())
    assert [rows.to_pylist() for _, rows in slices] == [table(size).to_pylist() for size in (3, 0, 2)]
    assert [batch.sequence for batch, _ in slices] == [0, 1, 2]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
        pa.array([{"a": [1, None]}, {"a": []}]),
        pa.array([b"\xf5TSJ", None]),
        pa.array(["x", None]).dictionary_encode().cast(pa.string()),
        pa.array([1, None], pa.decimal128(38, 3)),
        pa.array([], pa.timestamp("us", "UTC")),
    ],
    ids=lambda array: str(array.type),
)
def test_rows_of_any_type_come_back(path: Path, array: pa.Array) -> None:
    rows = pa.table({"v": array})
    [offset] = write(path, record(len(array), layout=RecordLayout(rows.schema, None, None), rows=rows))
    found = read(path, offset)
    assert found.rows.equals(rows)
    assert found.layout.schema == rows.schema


def test_a_journal_tells_what_it_holds_without_a_ledger(path: Path) -> None:
    written = [record(3, stream="a"), record(2, 1, stream="b", dataset="e")]
    offsets = write(path, *written)
    found = scan(path)
    assert (found.shard, found.damaged_bytes) == ("shard-0", 0)
    assert [one.offset for one in found.records] == offsets
    headers = [RecordHeader(one.dataset, one.layout, one.batches) for one in written]
    assert [one.record for one in found.records] == headers
    assert all(same(one, kept) for one, kept in zip(records_in(path), written, strict=True))


def test_an_empty_journal_holds_nothing(path: Path) -> None:
    write(path)
    assert scan(path) == Scan("shard-0", [], 0)


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 15, 19, 20, 21, 100, -1])
def test_a_torn_end_is_no_record_and_no_damage(path: Path, kept: int) -> None:
    """kept: bytes of the last record that reached the disk, -1 = all but one."""
    _, last = write(path, record(3, stream="a"), record(3, stream="b"))
    size = path.stat().st_size
    os.truncate(path, last + kept if kept >= 0 else size - 1)
    found = scan(path)
    assert (streams(found), found.damaged_bytes) == (["a"], 0)
    with pytest.raises(UnreadableSegment, match=f"the record at byte {last} of journal {path} is damaged"):
        read(path, last)


def test_zeros_at_the_end_are_no_record(path: Path) -> None:
    write(path, record(3, stream="a"))
    with path.open("ab") as file:
        file.write(b"\0" * 5000)
    assert (streams(scan(path)), scan(path).damaged_bytes) == (["a"], 0)


def test_any_flipped_byte_costs_its_own_record_and_no_other(path: Path) -> None:
    offsets = write(path, *(record(2, stream=name) for name in "abc"))
    whole = path.read_bytes()
    for at in range(offsets[1], offsets[2]):
        flip(path, at)
        with pytest.raises(UnreadableSegment, match=f"at byte {offsets[1]} .* damaged"):
            read(path, offsets[1])
        for sound in (offsets[0], offsets[2]):
            read(path, sound)
        path.write_bytes(whole)


@pytest.mark.parametrize("part", ["magic", "header bytes", "body bytes", "checksum", "header", "body"])
def test_what_follows_a_damaged_record_is_found(path: Path, part: str) -> None:
    at = {"magic": 0, "header bytes": 5, "body bytes": 14, "checksum": 17, "header": 40, "body": -3}[part]
    offsets = write(path, *(record(2, stream=name) for name in "abc"))
    flip(path, (offsets[1] if at >= 0 else offsets[2]) + at)
    found = scan(path)
    assert streams(found) == ["a", "c"]
    assert [one.offset for one in found.records] == [offsets[0], offsets[2]]
    assert found.damaged_bytes == offsets[2] - offsets[1]


@pytest.mark.parametrize("searched", [4, 5, 7, 64])
def test_the_next_record_is_found_wherever_a_search_is_cut(
    path: Path, searched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_records, "_SEARCHED", searched)
    offsets = write(path, *(record(2, stream=name) for name in "abc"))
    flip(path, offsets[1] + 30)
    assert [one.offset for one in scan(path).records] == [offsets[0], offsets[2]]


def test_a_sound_journal_is_read_once_and_not_searched(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, *(record(2, stream=f"s{number}") for number in range(100)))
    read_bytes: list[int] = []
    real = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        found = real(descriptor, size, offset)
        read_bytes.append(len(found))
        return found

    monkeypatch.setattr(os, "pread", counted)
    assert len(scan(path).records) == 100
    assert sum(read_bytes) < 2 * path.stat().st_size


def test_rows_that_look_like_a_record_are_none(path: Path) -> None:
    inner = encode(record(1, stream="inner"))
    values = [MAGIC * 20, MAGIC, b"".join(map(bytes, inner.parts))]
    schema = pa.schema([pa.field("v", pa.binary())])
    hostile = record(
        3, stream="b", layout=RecordLayout(schema, None, None), rows=pa.table({"v": values}, schema=schema)
    )
    write(path, record(2, stream="a"), hostile, record(2, stream="c"))
    assert streams(scan(path)) == ["a", "b", "c"]


def test_rows_in_several_pieces_and_none_at_all_are_one_arrow_stream(path: Path) -> None:
    pieces = pa.concat_tables([table(2), table(3)])
    written = [record(5, rows=pieces), record(0, rows=table(0)), record(0, rows=SCHEMA.empty_table())]
    for offset, one in zip(write(path, *written), written, strict=True):
        assert same(read(path, offset), one)


@pytest.mark.parametrize("shift", [1, 4, 20, 100])
def test_a_record_is_read_only_where_it_begins(path: Path, shift: int) -> None:
    [offset] = write(path, record(50))
    with pytest.raises(UnreadableSegment, match="no record begins there"):
        read(path, offset + shift)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\xfe\n",
        first_line("other", "shard-0"),
        first_line("00ab", "shard-0").replace(b'"format_version": 1', b'"format_version": 2'),
        b"x" * 10_000,
    ],
)
def test_a_file_that_does_not_say_that_it_is_this_journal_is_unreadable(path: Path, line: bytes) -> None:
    path.write_bytes(line)
    with pytest.raises(UnreadableSegment, match=str(path)):
        scan(path)


def test_a_journal_that_was_renamed_is_unreadable(path: Path) -> None:
    write(path, record(1))
    other = path.rename(path.with_name("00cd.journal"))
    with pytest.raises(UnreadableSegment, match="does not begin as a journal"):
        scan(other)
