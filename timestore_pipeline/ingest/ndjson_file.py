"""NDJSON: one JSON object per line, read twice: once to settle the columns' types, once for the rows.

Arrow's own inference takes `2013-01-01T05:00:00Z` for a local time and rounds integers beyond 64 bits. So strings are
read as strings, top-level ones become times by `text_types`, and a top-level integer must survive the way into a float.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from timestore_pipeline.errors import InvalidData, UnreadableInput
from timestore_pipeline.ingest.json_nesting import is_deeper
from timestore_pipeline.ingest.json_types import merge_schemas, with_plain_strings
from timestore_pipeline.ingest.text_types import TIMES, join, narrowest_type, parse_text
from timestore_pipeline.model.canonical import DEEPEST

_BLOCK_BYTES = 4 << 20  # read at once
_LINE_BYTES = 64 << 20  # the longest line accepted: without a limit a file without line ends would be read whole
_BRACKETS = 1 + DEEPEST  # of a row: its own, and those of a column
_EXACT = 2.0**53  # below it every integer is a float64
_LINES_HINT = "write one JSON object per line (jq -c '.[]' turns an array into that)"


def open_ndjson(path: Path) -> tuple[int, Callable[[], Iterator[pa.Table]]]:
    """Row count and reader; a column keeps one kind of value through the file, or `InvalidData` names it."""
    rows, schema, times = 0, pa.schema([]), dict[str, pa.DataType]()
    for line, block in _blocks(path):
        _check_nesting(path, line, block)
        table = _text_table(path, line, block)
        schema = merge_schemas(schema, table.schema)
        rows += table.num_rows
        for name in _string_columns(table.schema):
            found = narrowest_type(table.column(name).combine_chunks(), TIMES)
            times[name] = join(times.get(name, pa.null()), found)
    times = {name: type_ for name, type_ in times.items() if not pa.types.is_null(type_)}
    return rows, lambda: _tables(path, schema, times)


def _tables(path: Path, schema: pa.Schema, times: dict[str, pa.DataType]) -> Iterator[pa.Table]:
    for line, block in _blocks(path):
        table = _read(path, line, block, schema).select(schema.names)
        _check_integers(table, block)
        columns = [
            parse_text(column.combine_chunks(), times[name]) if name in times else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        ]
        yield pa.Table.from_arrays(columns, names=table.column_names)


def _check_nesting(path: Path, line: int, block: bytes) -> None:
    """Arrow takes eight seconds for 10 kB of brackets, and four times that for twice as many."""
    if is_deeper(block, _BRACKETS):
        where = f"{path}, in the block from line {line} on"
        raise InvalidData(f"{where}: a row is nested deeper than {DEEPEST} levels", hint="flatten it")


def _text_table(path: Path, line: int, block: bytes) -> pa.Table:
    table = _read(path, line, block, None)
    plain = pa.schema([pa.field(field.name, with_plain_strings(field.type)) for field in table.schema])
    return table if plain.equals(table.schema) else _read(path, line, block, plain)


def _string_columns(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_string(field.type)]


def _read(path: Path, line: int, block: bytes, schema: pa.Schema | None) -> pa.Table:
    try:
        return pa.json.read_json(
            pa.BufferReader(block),
            read_options=pa.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=pa.json.ParseOptions(explicit_schema=schema),
        )
    except pa.ArrowInvalid as error:
        raise UnreadableInput(f"{path}, in the block from line {line} on: {error}", hint=_LINES_HINT) from error


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines of about `_BLOCK_BYTES`, with the number of the first line, from 1; blank blocks are left out."""
    line, carry = 1, b""
    with pa.input_stream(str(path)) as file:
        while chunk := file.read(_BLOCK_BYTES):
            carry += chunk
            cut = carry.rfind(b"\n") + 1
            block, carry = carry[:cut], carry[cut:]
            if block.strip():
                yield line, block
            line += block.count(b"\n")
            if len(carry) > _LINE_BYTES:
                raise UnreadableInput(f"{path}, line {line} is longer than {_LINE_BYTES} bytes", hint=_LINES_HINT)
    if carry.strip():
        yield line, carry


def _check_integers(table: pa.Table, block: bytes) -> None:
    """Refuse integers that a float64 column would round: Arrow does so without a word."""
    suspects = [f.name for f in table.schema if pa.types.is_floating(f.type) and _is_beyond(table.column(f.name))]
    if not suspects:
        return
    for row in map(json.loads, filter(None, map(bytes.strip, block.split(b"\n")))):
        for name in suspects:
            value = row.get(name)
            if isinstance(value, int) and int(float(value)) != value:
                hint = "write such numbers as strings"
                raise InvalidData(f"column {name!r} holds {value}, which float64 would round", hint=hint)


def _is_beyond(column: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.greater_equal(pc.abs(column), _EXACT)).as_py())
