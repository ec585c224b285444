"""How canonical columns are written in DuckDB SQL."""

from __future__ import annotations

import pyarrow as pa

_LEAVES = {
    pa.null(): "VARCHAR",  # a waiting type: nulls of text can be cast to every other type
    pa.bool_(): "BOOLEAN",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
    pa.time64("us"): "BIGINT",
    pa.duration("us"): "BIGINT",
}


def quote(name: str) -> str:
    """`name` as an SQL identifier; any characters and reserved words are safe."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string; any characters are safe."""
    return "'" + text.replace("'", "''") + "'"


def duckdb_type(type_: pa.DataType) -> str:
    """The DuckDB type of a canonical type; a `KeyError` means the type is not canonical, which is a bug."""
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision},{type_.scale})"
    if pa.types.is_list(type_):
        return f"{duckdb_type(type_.value_type)}[]"
    if pa.types.is_struct(type_):
        return f"STRUCT({', '.join(f'{quote(f.name)} {duckdb_type(f.type)}' for f in type_)})"
    if pa.types.is_map(type_):
        return f"MAP({duckdb_type(type_.key_type)}, {duckdb_type(type_.item_type)})"
    return _LEAVES[type_]
