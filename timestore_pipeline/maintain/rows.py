"""The rows of a group of files as one relation, how they are ordered, and the proof that a file holds just them.

The proof is a sum over a 64-bit hash of every row, all columns of it, and the number of rows. It does not depend on the
order, and a row that is lost, doubled or changed changes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from timestore_pipeline.errors import Corrupted, SchemaConflict
from timestore_pipeline.lake.upkeep import OwnFile
from timestore_pipeline.model.columns import canonical_type, duckdb_type, quote
from timestore_pipeline.model.sql_types import literal

_GLOB = "[*?"  # what DuckDB takes for a pattern in a path


@dataclass(frozen=True, slots=True)
class Digest:
    """What a set of rows is known by, whatever their order."""

    rows: int
    hashes: int  # sum of all rows' hashes


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of some files, as a connection reads them."""

    connection: duckdb.DuckDBPyConnection
    paths: Sequence[Path]
    columns: Mapping[str, str]  # those of the table that any of the files has, in the table's order -> SQL type
    time_column: str | None

    def select(self) -> str:
        """By time; rows of one instant file by file, as they were."""
        by_time = [quote(name) for name in self.columns if name == self.time_column]
        order = [*by_time, "file_index", "file_row_number"]
        return f"SELECT {_listed(self.columns)} FROM {_relation(self.paths)} ORDER BY {', '.join(order)}"

    def digest(self) -> Digest:
        return self.digest_of(self.paths)

    def digest_of(self, paths: Sequence[Path]) -> Digest:
        """Of what was written of them."""
        sums = f"SELECT count(*), coalesce(sum(hash({_values(self.columns)})), 0) FROM {_relation(paths)}"
        row = self.connection.execute(sums).fetchone()
        assert row is not None, "an aggregate has one row"
        return Digest(*row)


def open_rows(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[OwnFile],
    paths: Sequence[Path],
    schema: pa.Schema,
    time_column: str | None,
) -> Rows:
    """The files as one relation; each must hold as many rows as the table says.

    A file without a column, or without a field of a struct, has NULL in it. Raise `SchemaConflict` for a column that is
    not of the table's type, `Corrupted` for a file with other rows.
    """
    _check_counts(connection, files, paths)
    found = _typed(connection, _relation(paths))
    wanted = {field.name: canonical_type(field.type, field.name) for field in schema}
    for name, kind in found.items():
        _check_column(name, kind, wanted.get(name))
    columns = {name: duckdb_type(kind) for name, kind in wanted.items() if name in found}
    return Rows(connection, paths, columns, time_column)


def _check_column(name: str, found: pa.DataType, wanted: pa.DataType | None) -> None:
    if wanted is None or not _is_part(found, wanted):
        existing = "no column" if wanted is None else str(wanted)
        text = f"column {name!r} is {found} in a file, and {existing} in the table"
        hint = "these files are left as they are"
        raise SchemaConflict(text, column=name, existing=existing, incoming=str(found), hint=hint)


def _is_part(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether it is the table's type, or that but for fields which its structs gained later."""
    if pa.types.is_struct(found) and pa.types.is_struct(wanted):
        known = {field.name: field.type for field in wanted}
        return all(field.name in known and _is_part(field.type, known[field.name]) for field in found)
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return _is_part(found.value_type, wanted.value_type)
    if pa.types.is_map(found) and pa.types.is_map(wanted):
        parts = ((found.key_type, wanted.key_type), (found.item_type, wanted.item_type))
        return all(_is_part(*part) for part in parts)
    if pa.types.is_timestamp(found) and pa.types.is_timestamp(wanted):  # UTC has several names
        return bool(found.unit == wanted.unit and (found.tz is None) == (wanted.tz is None))
    return bool(found == wanted)


def _typed(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, pa.DataType]:
    schema = connection.sql(f"FROM {relation} LIMIT 0").to_arrow_table().schema
    return {field.name: field.type for field in schema}


def _check_counts(connection: duckdb.DuckDBPyConnection, files: Sequence[OwnFile], paths: Sequence[Path]) -> None:
    counted = connection.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata({_list(paths)})").fetchall()
    rows = dict(counted)
    for file, path in zip(files, paths, strict=True):
        if rows.get(str(path)) != file.rows:
            text = f"{file.path} holds {rows.get(str(path))} rows, the table has it with {file.rows}"
            raise Corrupted(text, hint="nothing was changed; run `timestore verify`, restore the file from a backup")


def _relation(paths: Sequence[Path]) -> str:
    return f"read_parquet({_list(paths)}, union_by_name = true, hive_partitioning = false)"


def _list(paths: Sequence[Path]) -> str:
    return f"[{', '.join(literal(_escaped(str(path))) for path in paths)}]"


def _escaped(path: str) -> str:
    return "".join(f"[{character}]" if character in _GLOB else character for character in path)


def _listed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"CAST({quote(name)} AS {kind}) AS {quote(name)}" for name, kind in columns.items())


def _values(columns: Mapping[str, str]) -> str:
    return ", ".join(f"CAST({quote(name)} AS {kind})" for name, kind in columns.items())
