"""Tables of flatbuffers, in which Arrow's IPC format describes schemas and batches: as far as they are read here.

The tables and the places of their fields are those of Message.fbs, Schema.fbs and File.fbs of Arrow's format
(https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc).

Which columns of a file are integers of 128 bits: Polars writes them, and Arrow's readers refuse the whole schema.

So the schema is read here as far as names and integers go: a flatbuffer, as Message.fbs and Schema.fbs of Arrow's
format describe it (https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc).
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MOST_BYTES = 16 << 20  # of a schema, and of what follows the rows of a file
_PARQUET_KEY = re.compile(rb"ARROW:schema\x18[\x80-\xff]*[\x00-\x7f]([A-Za-z0-9+/=]+)")  # and its value, in Thrift
# Places in the tables of a message, a footer, a schema, a field and an integer.
_HEADER, _SCHEMA, _FIELDS, _NAME, _TYPE_ID, _TYPE, _CHILDREN, _BIT_WIDTH = 2, 1, 1, 0, 2, 3, 5, 0
_INT = 2  # the type's id
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a flatbuffer. Raises `struct.error` for what points beyond the buffer."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> Table:
        return cls(data, struct.unpack_from("<I", data)[0])

    def byte(self, place: int) -> int:
        at = self._field(place)
        return 0 if at is None else struct.unpack_from("<B", self.data, at)[0]

    def int32(self, place: int) -> int:
        at = self._field(place)
        return 0 if at is None else struct.unpack_from("<i", self.data, at)[0]

    def table(self, place: int) -> Table | None:
        at = self._field(place)
        return None if at is None else Table(self.data, self._followed(at))

    def tables(self, place: int) -> Iterator[Table]:
        at, count = self._vector(place)
        for number in range(count):
            yield Table(self.data, self._followed(at + 4 * number))

    def text(self, place: int) -> str:
        at, length = self._vector(place)
        return self.data[at : at + length].decode("utf-8", "replace")

    def structs(self, place: int, layout: str) -> Iterator[tuple[int, ...]]:
        """Of a vector of structs; layout: of one, as `struct` writes it."""
        at, count = self._vector(place)
        size = struct.calcsize(layout)
        for number in range(count):
            yield struct.unpack_from(layout, self.data, at + size * number)

    def _vector(self, place: int) -> tuple[int, int]:
        """Where its elements begin, and how many there are."""
        at = self._field(place)
        if at is None:
            return 0, 0
        begins = self._followed(at)
        return begins + 4, struct.unpack_from("<I", self.data, begins)[0]

    def _field(self, place: int) -> int | None:
        layout = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        (size,) = struct.unpack_from("<H", self.data, layout)
        if 4 + 2 * place >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, layout + 4 + 2 * place)
        return self.at + offset if offset else None

    def _followed(self, at: int) -> int:
        return at + int(struct.unpack_from("<I", self.data, at)[0])


def wide_columns(path: Path) -> list[str]:
    """Paths of the columns and fields with such integers; empty where the file does not say."""
    try:
        schema = _schema(path)
        return [] if schema is None else list(_wide_in(schema.tables(_FIELDS), "", 1))
    except (struct.error, ValueError, OSError):  # of a file that is damaged besides
        return []


def _schema(path: Path) -> Table | None:
    with path.open("rb") as file:
        head = file.read(_MOST_BYTES)
        file.seek(max(0, path.stat().st_size - _MOST_BYTES))
        tail = file.read()
    if head.startswith(b"ARROW1"):
        (length,) = struct.unpack_from("<i", tail, len(tail) - 10)
        return Table.root(tail[-10 - length : -10]).table(_SCHEMA)
    if head.startswith(b"PAR1"):
        noted = _PARQUET_KEY.search(tail)
        head = b"" if noted is None else base64.b64decode(noted[1])
    return Table.root(head[8:]).table(_HEADER)  # after a mark and a length


def _wide_in(fields: Iterator[Table], parent: str, depth: int) -> Iterator[str]:
    for field in fields:
        name, type_ = f"{parent}{field.text(_NAME)}", field.table(_TYPE)
        if field.byte(_TYPE_ID) == _INT and type_ is not None and type_.int32(_BIT_WIDTH) > 64:
            yield name
        if depth < _DEEPEST:
            yield from _wide_in(field.tables(_CHILDREN), f"{name}.", depth + 1)
