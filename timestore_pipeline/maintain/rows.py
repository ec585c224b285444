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
    columns: Sequence[str]  # those of the table that any of the files has, in the table's order
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
        sums = f"SELECT count(*), coalesce(sum(hash({_listed(self.columns)})), 0) FROM {_relation(paths)}"
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

    A file without a column has NULL in it. Raise `SchemaConflict` for a column that is not of the table's type,
    `Corrupted` for a file with other rows.
    """
    _check_counts(connection, files, paths)
    found = _described(connection, _relation(paths))
    _check_columns(connection, found, schema)
    return Rows(connection, paths, [name for name in schema.names if name in found], time_column)


def _check_columns(connection: duckdb.DuckDBPyConnection, found: Mapping[str, str], schema: pa.Schema) -> None:
    types = [(field.name, duckdb_type(canonical_type(field.type, field.name))) for field in schema]
    nothing = ", ".join(f"CAST(NULL AS {kind}) AS {quote(name)}" for name, kind in types)
    wanted = _described(connection, f"(SELECT {nothing})")  # spelt as DuckDB spells it
    for name, kind in found.items():
        if wanted.get(name) != kind:
            existing = wanted.get(name, "no column")
            text = f"column {name!r} is {kind} in a file, and {existing} in the table"
            hint = "these files are left as they are"
            raise SchemaConflict(text, column=name, existing=existing, incoming=kind, hint=hint)


def _described(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE FROM {relation}").fetchall()}


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


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(quote, columns))
