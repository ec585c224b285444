"""Which columns of a file are integers of 128 bits: Polars writes them, and Arrow's readers refuse the whole schema.

So the schema is read here as far as names and integers go: a flatbuffer, as Message.fbs and Schema.fbs of Arrow's
format describe it (https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc).
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from timestore_pipeline.ingest.flatbuffer import Table

_MOST_BYTES = 16 << 20  # of a schema, and of what follows the rows of a file
_PARQUET_KEY = re.compile(rb"ARROW:schema\x18[\x80-\xff]*[\x00-\x7f]([A-Za-z0-9+/=]+)")  # and its value, in Thrift
# Places in the tables of a message, a footer, a schema, a field and an integer.
_HEADER, _SCHEMA, _FIELDS, _NAME, _TYPE_ID, _TYPE, _CHILDREN, _BIT_WIDTH = 2, 1, 1, 0, 2, 3, 5, 0
_INT = 2  # the type's id
_DEEPEST = 64


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
