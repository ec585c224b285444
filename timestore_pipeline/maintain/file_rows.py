"""The rows of a group of files as one relation, how they are ordered, and the proof that a file holds just them.

The proof is the sum of a 64-bit hash of every row, over all columns, and the number of rows. It does not depend on the
order, and a row that is lost, doubled or changed changes it. For a column that changes its type the new value is
hashed, and values that the new type cannot hold without change are counted and named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from timestore_pipeline.errors import Corrupted, SchemaConflict
from timestore_pipeline.lake.replacing import OwnFile
from timestore_pipeline.lake.table_schema import is_part
from timestore_pipeline.model.canonical import canonical_type
from timestore_pipeline.model.recast import Recast
from timestore_pipeline.model.sql_types import duckdb_type, literal, quote

_SHOWN = 100  # characters of a value
_GLOB = "[*?"  # DuckDB reads these in a path as a pattern


@dataclass(frozen=True, slots=True)
class Digest:
    """Identifies a set of rows in any order."""

    rows: int
    hashes: int  # sum of all rows' hashes


@dataclass(frozen=True, slots=True)
class UncastableValue:
    """A value that the new type of its column cannot hold."""

    file: int  # position among the files read
    row: int  # of the file, from 0
    text: str  # cut short


@dataclass(frozen=True, slots=True)
class FileRows:
    """The rows of some files, as a connection reads them."""

    connection: duckdb.DuckDBPyConnection
    paths: Sequence[Path]
    columns: Mapping[str, str]  # those of the table that any of the files has, in the table's order -> SQL type
    time_column: str | None
    recasts: Mapping[str, Recast] = field(default_factory=dict)  # by column, of those that change their type
    sort_by: Sequence[str] = ()  # columns before time

    def select(self) -> str:
        """In a flush's order; rows that are equal there keep that of files and rows. A single file is in order."""
        columns = ", ".join(f"{self._value(name)} AS {quote(name)}" for name in self.columns)
        selected = f"SELECT {columns} FROM {_relation(self.paths)}"
        if len(self.paths) == 1:
            return selected
        wanted = [name for name in dict.fromkeys([*self.sort_by, self.time_column or ""]) if name in self.columns]
        order = [*map(quote, wanted), "r.file_index", "r.file_row_number"]  # of a retyped column: by its new values
        return f"{selected} AS r ORDER BY {', '.join(order)}"

    def digest(self) -> Digest:
        return self._digest(self.paths, map(self._value, self.columns))

    def digest_of(self, paths: Sequence[Path]) -> Digest:
        """The digest of the written files."""
        return self._digest(paths, map(self._written, self.columns))

    def count_unfit(self) -> int:
        """The number of rows with a value that the new type of its column cannot hold."""
        row = self.connection.execute(f"SELECT count(*) FROM {_relation(self.paths)} WHERE NOT {self._kept}").fetchone()
        assert row is not None, "an aggregate has one row"
        return int(row[0])

    def unfit(self, most: int) -> list[UncastableValue]:
        """The first `most` values that the new type cannot hold."""
        column = next((name for name in self.recasts if name in self.columns), None)
        if column is None or most == 0:
            return []
        shown = f"CAST({quote(column)} AS VARCHAR)[:{_SHOWN}]"
        found = self.connection.execute(
            f"SELECT file_index, file_row_number, {shown} FROM {_relation(self.paths)} AS r WHERE NOT {self._kept}"
            f" ORDER BY ALL LIMIT {most}"
        ).fetchall()
        return [UncastableValue(*value) for value in found]

    @property
    def _kept(self) -> str:
        present = [recast.kept for name, recast in self.recasts.items() if name in self.columns]
        return f"({' AND '.join(present)})" if present else "TRUE"

    def _value(self, column: str) -> str:
        return self.recasts[column].value if column in self.recasts else self._as_in_the_table(column)

    def _written(self, column: str) -> str:
        return quote(column) if column in self.recasts else self._as_in_the_table(column)

    def _as_in_the_table(self, column: str) -> str:
        return f"CAST({quote(column)} AS {self.columns[column]})"

    def _digest(self, paths: Sequence[Path], columns: Iterable[str]) -> Digest:
        sums = f"SELECT count(*), coalesce(sum(hash({', '.join(columns)})), 0) FROM {_relation(paths)}"
        row = self.connection.execute(sums).fetchone()
        assert row is not None, "an aggregate has one row"
        return Digest(*row)


def open_rows(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[OwnFile],
    paths: Sequence[Path],
    schema: pa.Schema,
    time_column: str | None,
    recasts: Mapping[str, Recast] | None = None,
    sort_by: Sequence[str] = (),
) -> FileRows:
    """The files as one relation; each must hold as many rows as the table lists for it.

    recasts, sort_by: see `FileRows`. A column or struct field that a file lacks is NULL. Raise `SchemaConflict` for a
    column that is not of the table's type, `Corrupted` for a file with another number of rows.
    """
    _check_counts(connection, files, paths)
    typed = connection.sql(f"FROM {_relation(paths)} LIMIT 0").to_arrow_table().schema
    found = {field.name: field.type for field in typed}
    wanted = {field.name: canonical_type(field.type, field.name) for field in schema}
    for name, kind in found.items():
        _check_column(name, kind, wanted.get(name))
    columns = {name: duckdb_type(kind) for name, kind in wanted.items() if name in found}
    return FileRows(connection, paths, columns, time_column, recasts or {}, sort_by)


def _check_column(name: str, found: pa.DataType, wanted: pa.DataType | None) -> None:
    if wanted is None or not is_part(found, wanted):
        existing = "no column" if wanted is None else str(wanted)
        message = f"column {name!r} is {found} in a file, and {existing} in the table"
        hint = "these files are not changed"
        raise SchemaConflict(message, column=name, existing=existing, incoming=str(found), hint=hint)


def _check_counts(connection: duckdb.DuckDBPyConnection, files: Sequence[OwnFile], paths: Sequence[Path]) -> None:
    counted = connection.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata({_list(paths)})").fetchall()
    rows = dict(counted)
    for file, path in zip(files, paths, strict=True):
        if rows.get(str(path)) != file.rows:
            message = f"{file.path} holds {rows.get(str(path))} rows, the table lists it with {file.rows}"
            raise Corrupted(message, hint="nothing was changed; run `timestore verify`, restore the file from a backup")


def _relation(paths: Sequence[Path]) -> str:
    return f"read_parquet({_list(paths)}, union_by_name = true, hive_partitioning = false)"


def _list(paths: Sequence[Path]) -> str:
    return f"[{', '.join(literal(_escaped(str(path))) for path in paths)}]"


def _escaped(path: str) -> str:
    return "".join(f"[{character}]" if character in _GLOB else character for character in path)
