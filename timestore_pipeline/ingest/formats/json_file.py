"""JSON rows, read twice: once to settle the columns' types over the whole file, once for the rows as Arrow arrays.

Arrow's reader is fast and loses digits, takes `NaN`, and reads `2013-01-01T05:00:00Z` as a local time. So a block goes
through it only if nothing in it can lose anything; every other one is read by Python, digit by digit. A string stays a
string unless its column is known or declared, is the dataset's time column, or holds a full instant in every row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from timestore_pipeline.errors import BodyTooLarge, InvalidData
from timestore_pipeline.ingest.formats.json_blocks import Rows, row_blocks
from timestore_pipeline.ingest.formats.json_rows import parse_rows
from timestore_pipeline.ingest.formats.json_shape import MixedKinds, Shape, number_refused
from timestore_pipeline.ingest.formats.known_text import KnownColumn
from timestore_pipeline.ingest.formats.numbers import keeps
from timestore_pipeline.ingest.formats.reading import Reading
from timestore_pipeline.ingest.formats.text_column import TextColumn
from timestore_pipeline.ingest.formats.text_times import TIMES
from timestore_pipeline.ingest.values.notes import Note
from timestore_pipeline.model.canonical import MOST_FIELDS, TIMESTAMP_UTC
from timestore_pipeline.model.dataset import SubMicroseconds
from timestore_pipeline.model.refusals import Cell, refused_cell

_LOSSY = (  # what Arrow would change or accept
    re.compile(rb"[0-9.]{16}"),  # more digits than any double keeps
    re.compile(rb"[0-9][eE][+-]?[0-9]"),
    re.compile(rb"-0[\s,}\]]"),
    re.compile(rb"NaN|Inf"),
    re.compile(rb"\}[ \t\r]*\{|\0"),  # a row behind another on its line; the rest of the block, which it leaves out
    re.compile(rb"(?:\A|[}\n])\s*null"),  # in place of a row: of the first, Arrow's reader ends the process (26.0)
)


_KEY = re.compile(rb'"([^"\\\n]*)"\s*:')
_MOST_DENSE = 32 << 20  # cells of a block


class JsonFile:
    """One file. `rows`, `notes` and `tables` are what there is to know of it."""

    def __init__(self, path: Path, reading: Reading) -> None:
        """Raises `UnreadableInput` and `InvalidData` with line and column of what cannot be read or kept."""
        self._path = path
        self._reading = reading
        self._exact = any(_is_beyond_arrow(known.type, 1) for known in reading.columns.values())
        self._arrays = ArrayBuilder(path, reading.finer, reading.local_as_utc)
        try:
            shape = self._settle()
        except MixedKinds:
            self._exact = True  # then the line is known
            shape = self._settle()
        self._schema = pa.schema([pa.field(name, self._type(name, inner)) for name, inner in shape.fields.items()])
        self._texts = {field.name: self._text(field.name) for field in self._schema if pa.types.is_string(field.type)}
        self.rows = self._look(self._texts)
        if self.rows and len(self._schema) == 0:
            raise InvalidData(f"{path} has only rows without keys", hint="write at least one key with a value")
        if guessed := {name: text for name, text in self._texts.items() if text.known is not None and text.is_guessed}:
            self._look(guessed)
        for column in self._texts.values():
            column.settle()
        noted = (column.note() for column in self._texts.values() if column.known is not None)
        self.notes: Sequence[Note] = [note for note in noted if note is not None]

    def tables(self) -> Iterator[pa.Table]:
        """All rows, block by block."""
        for rows in row_blocks(self._path):
            table = self._read(rows, self._schema)
            columns = [
                self._texts[name].parse(column.combine_chunks()) if name in self._texts else column
                for name, column in zip(table.column_names, table.columns, strict=True)
            ]
            yield pa.table(dict(zip(table.column_names, columns, strict=True)))

    def _settle(self) -> Shape:
        known = pa.struct([pa.field(name, column.type) for name, column in self._reading.columns.items()])
        shape = Shape("", 0, known, "object")
        for rows in row_blocks(self._path):
            table = None if _is_sparse(rows) else self._fast(rows, None)
            if table is None:
                for row, place in zip(parse_rows(self._path, rows), rows.places, strict=True):
                    shape.add(self._path, row, place)
            else:
                shape.add_type(pa.struct(list(table.schema)))
        return shape

    def _type(self, name: str, shape: Shape) -> pa.DataType:
        """A column that is declared to be text takes numbers as they are written, whatever their digits."""
        known = self._reading.column(name)
        if shape.kind == "number" and known is not None and known.declared and known.type == pa.string():
            self._exact = True
            return pa.string()
        return shape.type(self._path)

    def _text(self, name: str) -> TextColumn:
        known = self._reading.column(name)
        takes = known is not None and (known.declared or known.is_time or pa.types.is_string(known.type))
        kinds = TIMES if name == self._reading.time_column else (TIMESTAMP_UTC,)
        return TextColumn(self._path, name, known if takes else None, self._reading.finer, only=kinds)

    def _look(self, texts: Mapping[str, TextColumn]) -> int:
        """What their strings are; returns the number of rows."""
        count = 0
        for rows in row_blocks(self._path):
            count += len(rows.lines)
            self._check_cells(count)
            if texts:
                table = self._read(rows, self._schema)
                for name, column in texts.items():
                    column.look(table.column(name).combine_chunks(), rows.places.__getitem__)
        return count

    def _check_cells(self, rows: int) -> None:
        """A key that one row has is a cell in all of them: few bytes of text can be any number of cells."""
        most = self._reading.most_cells
        if most is not None and rows * len(self._schema) > most:
            problem = f"{self._path} has more than {most} cells: {len(self._schema)} columns in {rows} rows or more"
            raise BodyTooLarge(problem, hint="send smaller batches, or rows of one kind at a time")

    def _read(self, rows: Rows, schema: pa.Schema) -> pa.Table:
        table = self._fast(rows, schema)
        if table is not None:
            return table.select(schema.names)
        values = parse_rows(self._path, rows)
        columns = [self._column(values, field, rows) for field in schema]
        return pa.Table.from_arrays(columns, schema=schema)

    def _column(self, values: Sequence[dict[str, Any]], field: pa.Field, rows: Rows) -> pa.Array:
        return self._arrays.column([row.get(field.name) for row in values], field.type, field.name, rows.places)

    def _fast(self, rows: Rows, schema: pa.Schema | None) -> pa.Table | None:
        """The rows as Arrow reads them; None = it might lose something, or cannot."""
        text = rows.text
        if self._exact or any(pattern.search(text) for pattern in _LOSSY):
            return None
        try:
            text.decode()
            table = _arrow(text, schema)
            if schema is None and not (plain := _with_strings(table.schema)).equals(table.schema):
                table = _arrow(text, plain)
            table.validate()  # lists of nothing but nulls come out too short
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None  # the other way names the line
        return table if table.num_rows == len(rows.lines) else None


def _is_sparse(rows: Rows) -> bool:
    """Whether Arrow would make columns of millions of cells that no row has, or of keys that no dataset takes."""
    keys = len(set(_KEY.findall(rows.text)))
    return keys > MOST_FIELDS or keys * len(rows.lines) > _MOST_DENSE


def _arrow(text: bytes, schema: pa.Schema | None) -> pa.Table:
    return pa.json.read_json(
        pa.BufferReader(text),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pa.json.ParseOptions(explicit_schema=schema),
    )


def _is_beyond_arrow(type_: pa.DataType, level: int) -> bool:
    """Whether values of a known type have to be read digit by digit; times in columns are strings first."""
    if pa.types.is_nested(type_):
        inner = (type_.field(index).type for index in range(type_.num_fields))
        return any(_is_beyond_arrow(one, level + 1) for one in inner)
    return bool(pa.types.is_decimal(type_) or (level > 1 and type_ in TIMES))


def _with_strings(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, _plain(field.type)) for field in schema])


def _plain(type_: pa.DataType) -> pa.DataType:
    """`type_` with every timestamp turned back into the string it was read from."""
    if pa.types.is_timestamp(type_):
        return pa.string()
    if pa.types.is_list(type_):
        return pa.list_(_plain(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, _plain(field.type)) for field in type_])
    return type_


@dataclass(frozen=True, slots=True)
class ArrayBuilder:
    """Of one file. Every value must be of the kind of its type; raises `InvalidData` that names line and path."""

    file: Path
    finer: SubMicroseconds
    local_as_utc: bool

    def column(self, values: Sequence[Any], type_: pa.DataType, path: str, places: Sequence[str]) -> pa.Array:
        """places: where each value stands."""
        if pa.types.is_struct(type_):
            return self._structs(values, type_, path, places)
        if pa.types.is_list(type_):
            return self._lists(values, type_, path, places)
        if pa.types.is_floating(type_):
            return self._doubles(values, path, places)
        if pa.types.is_decimal(type_):
            return pa.array([None if value is None else Decimal(str(value)) for value in values], type_)
        if type_ in TIMES:
            return self._times(values, type_, path, places)
        if pa.types.is_string(type_):
            return pa.array([None if value is None else str(value) for value in values], type_)
        return pa.array(values, type_)

    def _structs(self, values: Sequence[Any], type_: pa.StructType, path: str, places: Sequence[str]) -> pa.Array:
        if type_.num_fields == 0:
            return pa.array(values, type_)
        children = [
            self.column(
                [None if value is None else value.get(field.name) for value in values],
                field.type,
                f"{path}.{field.name}",
                places,
            )
            for field in type_
        ]
        return pa.StructArray.from_arrays(children, fields=list(type_), mask=_nulls(values))

    def _lists(self, values: Sequence[Any], type_: pa.ListType, path: str, places: Sequence[str]) -> pa.Array:
        offsets, inner = [0], list[str]()
        for value, place in zip(values, places, strict=True):
            inner += [place] * len(value or ())
            offsets.append(len(inner))
        flat = list(chain.from_iterable(value or () for value in values))
        items = self.column(flat, type_.value_type, f"{path}[]", inner)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items, type=type_, mask=_nulls(values))

    def _doubles(self, values: Sequence[Any], path: str, places: Sequence[str]) -> pa.Array:
        for value, place in zip(values, places, strict=True):
            if value is not None and not keeps(str(value)):
                raise number_refused(self.file, place, path, str(value), "a double does not keep")
        return pa.array([None if value is None else float(value) for value in values], pa.float64())

    def _times(self, values: Sequence[Any], type_: pa.DataType, path: str, places: Sequence[str]) -> pa.Array:
        known, text = KnownColumn(type_, local_as_utc=self.local_as_utc), pa.array(values, pa.string())
        for value, place, ok in zip(values, places, known.reads(text).to_pylist(), strict=True):
            if value is not None and not ok:
                hint = "write it in ISO 8601, with an offset where the column has one"
                raise refused_cell(self.file, Cell(place, value), path, f"is no {known.description}", hint)
        return known.parse(text, self.finer)


def _nulls(values: Sequence[Any]) -> pa.BooleanArray:
    return pa.array([value is None for value in values], pa.bool_())
