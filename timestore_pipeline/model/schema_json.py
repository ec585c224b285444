"""A dataset's schema as JSON that a person can read in the ledger and any later version can parse.

    {"columns": [{"name": "at", "type": "timestamp_utc"}, {"name": "tags", "type": {"list": "string"}}]}

`null` inside another type is a waiting one: only nulls have arrived for it so far.

Arrow's own serialisation is binary and carries the metadata of the first producer; this one has names and types only.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from timestore_pipeline.errors import Corrupted
from timestore_pipeline.model.canonical import DURATION, TIME, TIMESTAMP, TIMESTAMP_UTC

_LEAVES = {
    "null": pa.null(),  # its type waits for a value
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": TIMESTAMP,
    "timestamp_utc": TIMESTAMP_UTC,
    "time": TIME,
    "duration": DURATION,
}
_NAMES = {type_: name for name, type_ in _LEAVES.items()}


def schema_to_json(schema: pa.Schema) -> str:
    """The text of a canonical schema; equal schemas give equal texts."""
    return json.dumps({"columns": [_field_out(field) for field in schema]}, ensure_ascii=False)


def schema_from_json(text: str) -> pa.Schema:
    """The inverse of `schema_to_json`; `Corrupted` when the text is not such a schema."""
    try:
        return pa.schema([_field_in(field) for field in json.loads(text)["columns"]])
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupted(
            f"a stored schema cannot be read ({error}): {text[:200]}",
            hint="the ledger is damaged or was written by a newer version; see `timestore recover`",
        ) from error


def _field_out(field: pa.Field) -> dict[str, Any]:
    return {"name": field.name, "type": _type_out(field.type)}


def _field_in(field: dict[str, Any]) -> pa.Field:
    return pa.field(field["name"], _type_in(field["type"]))


def _type_out(type_: pa.DataType) -> Any:
    if pa.types.is_decimal(type_):
        return {"decimal": [type_.precision, type_.scale]}
    if pa.types.is_list(type_):
        return {"list": _type_out(type_.value_type)}
    if pa.types.is_struct(type_):
        return {"struct": [_field_out(field) for field in type_]}
    if pa.types.is_map(type_):
        return {"map": [_type_out(type_.key_type), _type_out(type_.item_type)]}
    return _NAMES[type_]


def _type_in(document: Any) -> pa.DataType:
    if isinstance(document, str):
        return _LEAVES[document]
    [(kind, inner)] = document.items()
    if kind == "decimal":
        return pa.decimal128(*inner)
    if kind == "list":
        return pa.list_(_type_in(inner))
    if kind == "struct":
        return pa.struct([_field_in(field) for field in inner])
    if kind == "map":
        return pa.map_(*map(_type_in, inner))
    raise ValueError(f"unknown type {kind!r}")
