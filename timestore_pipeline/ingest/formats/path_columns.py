"""Columns that are in folder names only: the rows of `…/station=JFK/2013.parquet` are those of one station.

A value is read as what the dataset knows or declares the column to be, else as the type that was found for it, else it
is text: never a type that would change it, so `month=01` stays text. The partition columns of our own tables say
nothing that the time column does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.formats.known_text import KnownColumn
from timestore_pipeline.ingest.formats.reading import Reading
from timestore_pipeline.lake.layout import NULL_FOLDER
from timestore_pipeline.model.canonical import canonical_type
from timestore_pipeline.model.dataset import SubMicroseconds
from timestore_pipeline.model.refusals import quoted

_PAIR = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_DERIVED = frozenset({"partition_date", "partition_hour", "partition_month"})

PathColumns = Mapping[str, str | None]  # name -> value as the path spells it, None = null
Types = Mapping[str, pa.DataType]


def path_columns(folders: Iterable[str]) -> dict[str, str | None]:
    """What the names of a file's folders say; raises `InvalidData` for one that cannot be read, or two that differ."""
    found = dict[str, str | None]()
    for folder in folders:
        match = _PAIR.fullmatch(folder)
        name = _unescaped(folder, match[1]) if match else ""
        if match is None or name in _DERIVED:
            continue
        text = _unescaped(folder, match[2])
        value = None if text == NULL_FOLDER else text
        if found.setdefault(name, value) != value:
            hint = "put each value into a folder of its own"
            raise InvalidData(f"folders give column {name!r} two values: {found[name]!r} and {value!r}", hint=hint)
    return found


def pairs(columns: PathColumns) -> list[str]:
    """Part of a file's identity: the same bytes under another station are other rows."""
    return [f"{name}={NULL_FOLDER if value is None else value}" for name, value in sorted(columns.items())]


def with_path_columns(columns: PathColumns, reading: Reading, types: Types) -> Callable[[pa.Table], pa.Table]:
    """Adds the path's columns to a table. types: of columns the dataset does not know; text where there is none.

    Raises `InvalidData`, here or then, when a value is not of its column's type, or contradicts the file's own column.
    """
    typed = {name: _typed(name, value, reading.column(name), types.get(name)) for name, value in columns.items()}

    def add(table: pa.Table) -> pa.Table:
        for name, value in columns.items():
            if name in table.column_names:
                _check_same(table.column(name), name, value)
            else:
                table = table.append_column(name, pa.repeat(typed[name], table.num_rows))
        return table

    return add


def _unescaped(folder: str, text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        hint = "escape names in UTF-8"
        raise InvalidData(f"the folder {quoted(folder)} is escaped, but not in UTF-8", hint=hint) from error


def _typed(name: str, value: str | None, known: KnownColumn | None, found: pa.DataType | None) -> pa.Scalar:
    if known is None:
        known = KnownColumn(found or pa.string())
    elif value is not None and not known.reads(pa.array([value]))[0].as_py():
        raise InvalidData(
            f"a folder gives column {name!r} the value {quoted(value)}, and the column is {known.description}",
            hint="rename the folder, or declare another type for the column: `timestore datasets set` (schema.columns)",
        )
    return known.parse(pa.array([value], pa.string()), SubMicroseconds.REFUSE)[0]


def _check_same(column: pa.ChunkedArray, name: str, value: str | None) -> None:
    for found in pc.unique(column).to_pylist():
        if not _is_same(found, value, column.type):
            raise InvalidData(
                f"a folder gives column {name!r} the value {value!r}, and the file has {quoted(str(found))} there",
                hint="rename the folder, or leave the column out of the file",
            )


def _is_same(found: object, value: str | None, type_: pa.DataType) -> bool:
    if found is None or value is None:
        return found is value
    known = KnownColumn(canonical_type(type_, ""), declared=True)
    text = pa.array([value])
    if not known.reads(text)[0].as_py():
        return False
    return bool(known.parse(text, SubMicroseconds.REFUSE)[0].as_py() == found)
