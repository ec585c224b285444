"""Tables of flatbuffers, in which Arrow's IPC format describes schemas and batches: as far as they are read here.

The tables and the places of their fields are those of Message.fbs, Schema.fbs and File.fbs of Arrow's format
(https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass


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
