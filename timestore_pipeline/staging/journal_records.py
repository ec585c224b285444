"""The records of a journal: framed, checksummed, each with the rows of one dataset's batches as an Arrow IPC stream.

    record = magic (4 bytes) | header bytes (uint32) | body bytes (uint64) | CRC-32 (uint32) | header | body

Integers are little-endian; the checksum is of header and body. The header is JSON that says whose rows these are and
describes each batch, so that a journal tells what it holds without a ledger; the body holds the batches' rows one after
the other. A file begins with one line of JSON that names the journal and its shard.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

import pyarrow as pa

from timestore_pipeline.errors import UnreadableSegment
from timestore_pipeline.model.batch import StagedBatch
from timestore_pipeline.model.schema_json import schema_from_json, schema_to_json
from timestore_pipeline.system import clock

FORMAT_VERSION = 1
MAGIC = b"\xf5TSJ"  # no UTF-8 text holds its first byte

_FRAME = struct.Struct("<4sIQI")
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow IPC stream
_LONGEST_LINE = 4096  # bytes
_SEARCHED = 1 << 20  # bytes that are looked through at a time for the next intact record
_HINT = "the journal is kept; put a copy from a backup in its place, or discard its batches"


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """The columns and the layout that rows were staged for."""

    schema: pa.Schema  # canonical columns
    time_column: str | None  # None = the dataset has none, or its layout is open
    granularity: str | None  # None = the layout is open


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """A record's description of one dataset's batches in one group commit."""

    dataset: str
    layout: RecordLayout
    batches: Sequence[StagedBatch]


@dataclass(frozen=True, slots=True)
class Record(RecordHeader):
    """The same with their rows."""

    rows: pa.Table  # of all batches, one after the other, in the types in which rows are stored

    def slices(self) -> Iterator[tuple[StagedBatch, pa.Table]]:
        """Each batch with its rows."""
        first = 0
        for batch in self.batches:
            yield batch, self.rows.slice(first, batch.rows)
            first += batch.rows


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """An intact record that was found by reading a journal from its beginning; its rows were read and let go."""

    offset: int
    record: RecordHeader


@dataclass
class Scan:
    """The contents of a journal's file."""

    shard: str
    records: list[FoundRecord] = field(default_factory=list)
    damaged_bytes: int = 0  # between intact records; a torn end is none


def first_line(journal_id: str, shard: str) -> bytes:
    """The first line of a journal's file."""
    return json.dumps({"format_version": FORMAT_VERSION, "journal_id": journal_id, "shard": shard}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A record as it is written, in parts: what Arrow made is not copied together first."""

    parts: Sequence[bytes | pa.Buffer]  # frame and header, then the body
    bytes: int


def encode(record: Record) -> Encoded:
    """The bytes to append to a journal."""
    body = [record.rows.schema.serialize(), *(batch.serialize() for batch in record.rows.to_batches()), _END]
    header = _header(record)
    body_bytes = sum(len(part) for part in body)
    checksum = reduce(lambda value, part: zlib.crc32(part, value), body, zlib.crc32(header))
    head = _FRAME.pack(MAGIC, len(header), body_bytes, checksum) + header
    return Encoded([head, *body], len(head) + body_bytes)


def read_record(descriptor: int, path: Path, offset: int) -> Record:
    """The record that begins at an offset; raises `UnreadableSegment` when it is damaged, and `OSError`."""
    content, header_bytes = _intact(descriptor, path, offset)
    header = _decode(content[:header_bytes])
    with pa.ipc.open_stream(pa.py_buffer(content)[header_bytes:]) as stream:
        return Record(header.dataset, header.layout, header.batches, stream.read_all())


def _intact(descriptor: int, path: Path, offset: int) -> tuple[bytes, int]:
    """Header and body of the record at an offset, and how long the header is; raises the same."""
    frame = os.pread(descriptor, _FRAME.size, offset)
    if len(frame) < _FRAME.size:
        raise _damaged(path, offset, "the file ends before it")
    magic, header_bytes, body_bytes, checksum = _FRAME.unpack(frame)
    size = os.fstat(descriptor).st_size
    if magic != MAGIC or offset + _FRAME.size + header_bytes + body_bytes > size:
        raise _damaged(path, offset, "no record begins there, or the file ends within it")
    content = _read(descriptor, offset + _FRAME.size, header_bytes + body_bytes)
    if zlib.crc32(content) != checksum:
        raise _damaged(path, offset, "its checksum does not match")
    return content, header_bytes


def scan(path: Path) -> Scan:
    """Every intact record of a journal; raises `UnreadableSegment` when the file does not begin as a journal.

    All its bytes are read, and those of one record at a time are held. Bytes that are no intact record are passed over:
    what follows them may be sound.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        line = os.pread(descriptor, _LONGEST_LINE, 0).partition(b"\n")[0]
        found = Scan(_shard(path, line))
        end = offset = len(line) + 1  # end: of the last intact record
        while (offset := _next_magic(descriptor, offset)) >= 0:
            try:
                content, header_bytes = _intact(descriptor, path, offset)
            except UnreadableSegment:
                offset += 1
                continue
            found.damaged_bytes += offset - end
            found.records.append(FoundRecord(offset, _decode(content[:header_bytes])))
            end = offset = offset + _FRAME.size + len(content)
        return found
    finally:
        os.close(descriptor)


def _header(record: Record) -> bytes:
    layout = record.layout
    return json.dumps(
        {
            "dataset": record.dataset,
            "schema": _schema_text(layout.schema),
            "time_column": layout.time_column,
            "granularity": layout.granularity,
            "batches": [
                (b.batch_id, b.sequence, b.rows, b.bytes, clock.to_micros(b.staged_at), b.idempotency_key)
                for b in record.batches
            ],
        }
    ).encode()


@lru_cache(maxsize=256)
def _schema_text(schema: pa.Schema) -> str:
    return schema_to_json(schema)


@lru_cache(maxsize=256)
def _schema(text: str) -> pa.Schema:
    return schema_from_json(text)


def _decode(text: bytes) -> RecordHeader:
    header: dict[str, Any] = json.loads(text)
    layout = RecordLayout(_schema(header["schema"]), header["time_column"], header["granularity"])
    batches = [
        StagedBatch(name, sequence, rows, size, clock.from_micros(staged_at), key)
        for name, sequence, rows, size, staged_at, key in header["batches"]
    ]
    return RecordHeader(header["dataset"], layout, batches)


def _read(descriptor: int, offset: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.pread(descriptor, size, offset)  # at most 2 GiB at once
        if not part:
            break
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _next_magic(descriptor: int, offset: int) -> int:
    """Where the next record may begin, at `offset` or after it; -1 = nowhere."""
    if os.pread(descriptor, len(MAGIC), offset) == MAGIC:  # as behind every sound record: there is nothing to search
        return offset
    while chunk := os.pread(descriptor, _SEARCHED, offset):
        if (at := chunk.find(MAGIC)) >= 0:
            return offset + at
        if len(chunk) < len(MAGIC):
            break
        offset += len(chunk) - len(MAGIC) + 1
    return -1


def _shard(path: Path, line: bytes) -> str:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or (found.get("format_version"), found.get("journal_id")) != (
        FORMAT_VERSION,
        path.stem,
    ):
        raise UnreadableSegment(f"journal {path} does not begin as a journal, but with {line[:80]!r}", hint=_HINT)
    return str(found.get("shard"))


def _damaged(path: Path, offset: int, why: str) -> UnreadableSegment:
    return UnreadableSegment(f"the record at byte {offset} of journal {path} is damaged: {why}", hint=_HINT)
