"""Streams of maps that Arrow does not write: it would end the process over one with a null for a key."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa

PAIRS = pa.struct([("key", pa.string()), ("value", pa.int64())])
LISTED = pa.list_(PAIRS)
MAP = pa.map_(pa.string(), pa.int64())
GOOD, BAD = [{"key": "a", "value": 1}], [{"key": "a", "value": 1}, {"key": None, "value": 2}]


def stream(kind: pa.DataType, listed: pa.DataType, *batches: list[Any]) -> bytes:
    """Of a column `v` of `kind`, written as the list of pairs that a map is stored as."""
    sink = io.BytesIO()
    stored = pa.schema([("n", pa.int64()), ("v", listed)])
    with pa.ipc.new_stream(sink, stored) as writer:
        for rows in batches:
            writer.write_batch(pa.record_batch({"n": pa.array(range(len(rows))), "v": pa.array(rows, listed)}))
    schema: pa.Buffer = pa.schema([("n", pa.int64()), ("v", kind)]).serialize()
    head: bytes = schema.to_pybytes()
    return head + sink.getvalue()[stored.serialize().size :]
