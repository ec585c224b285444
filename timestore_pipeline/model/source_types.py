"""Which Arrow types are accepted, and how they are read: a closed list, so that no values are misread.

Encodings (dictionaries, runs, views) count as their values. An extension type has a known name or is refused: the
storage of an unknown one may be an address in memory, a bit pattern or a month, and would be published as a number.
Extension types that are not registered with Arrow arrive as their storage, with the name in the field's metadata, and
are treated the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from timestore_pipeline.model.refusals import refused_type

INTERVALS = "send months, days and microseconds as a column each, or a duration where there are no months"

_NAME, _DETAILS = b"ARROW:extension:name", b"ARROW:extension:metadata"
_T = pa.types
_VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
_LEAVES = frozenset(
    type_.id
    for type_ in (
        pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
        pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.decimal32(1), pa.decimal64(1), pa.decimal128(1),
        pa.decimal256(1), pa.date32(), pa.date64(), pa.timestamp("s"), pa.time32("s"), pa.time64("us"),
        pa.duration("s"), pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(1),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension type by name; `vendor.type` for Arrow's opaque ones."""

    name: str
    storage: pa.DataType


@dataclass(frozen=True, slots=True)
class _Known:
    storage: Callable[[pa.DataType], bool]
    taken_as: pa.DataType | None  # None = as its storage


def _is_text(type_: pa.DataType) -> bool:
    return bool(_T.is_string(type_) or _T.is_large_string(type_) or _T.is_string_view(type_))


_16_BYTES = pa.binary(16)
EXTENSIONS = {
    "arrow.uuid": _Known(_16_BYTES.equals, pa.string()),
    "arrow.json": _Known(_is_text, None),
    "arrow.bool8": _Known(_T.is_int8, pa.bool_()),
    "DuckDB.hugeint": _Known(_16_BYTES.equals, pa.decimal128(38, 0)),
    "DuckDB.uhugeint": _Known(_16_BYTES.equals, pa.decimal128(38, 0)),
    "google:sqlType:datetime": _Known(_T.is_timestamp, None),  # BigQuery's names, which add nothing to the storage
    "google:sqlType:json": _Known(_is_text, None),
}
REMEDIES = {
    "pandas.period": "send the periods' starts: df[column].dt.to_timestamp()",
    "pandas.interval": "send the left and the right ends as a column each",
    "arrow.fixed_shape_tensor": "send the tensor as nested lists",
    "arrow.variable_shape_tensor": "send the tensor as nested lists",
    "arrow.parquet.variant": "send JSON text, or a struct",
    "DuckDB.bit": "cast it: column::VARCHAR, or column::BIGINT",
    "DuckDB.bignum": "cast it: column::DECIMAL(38,0), or column::VARCHAR",
    "DuckDB.time_tz": "cast it: column::TIME where the offset does not matter, or send a TIMESTAMPTZ",
    "geoarrow.wkb": "send well-known text, or cast the column to its storage (binary)",
}


def plain_type(type_: pa.DataType, metadata: Mapping[bytes, bytes] | None, path: str) -> pa.DataType:
    """The type of the values without encodings; `InvalidData` with path, type and remedy for an unsupported type.

    metadata: of the field at `path`, where there is one.
    """
    extension = extension_of(type_, metadata)
    if extension is not None:
        known = known_extension(extension, path)
        return known.taken_as or plain_type(extension.storage, None, path)
    if type_.id in _LEAVES:
        return type_
    if _T.is_dictionary(type_) or _T.is_run_end_encoded(type_):
        return plain_type(type_.value_type, None, path)
    if is_list(type_):
        return pa.list_(_plain_child(type_.value_field, f"{path}[]"))
    if _T.is_struct(type_):
        return pa.struct([pa.field(field.name, _plain_child(field, f"{path}.{field.name}")) for field in type_])
    if _T.is_map(type_):
        return _plain_map(type_, path)
    if type_ in _VIEWS:
        return _VIEWS[type_]
    raise refused_type(path, type_, _remedy(type_))


def _plain_map(type_: pa.MapType, path: str) -> pa.DataType:
    key = _plain_child(type_.key_field, f"{path}{{key}}")
    if _T.is_null(key) or (_T.is_struct(key) and key.num_fields == 0):
        raise refused_type(f"{path}{{key}}", key, "cast the maps to a type: no key says what keys are")
    return pa.map_(key, _plain_child(type_.item_field, f"{path}{{value}}"))


def extension_of(type_: pa.DataType, metadata: Mapping[bytes, bytes] | None) -> Extension | None:
    """The extension type that a field has, registered with Arrow or only named in the field's metadata."""
    if isinstance(type_, pa.BaseExtensionType):
        name, storage = type_.extension_name, type_.storage_type
        return Extension(f"{type_.vendor_name}.{type_.type_name}" if name == "arrow.opaque" else name, storage)
    if not metadata or _NAME not in metadata:
        return None
    name = metadata[_NAME].decode(errors="replace")
    return Extension(_opaque(metadata) if name == "arrow.opaque" else name, type_)


def known_extension(extension: Extension, path: str) -> _Known:
    """The extension's entry in the list; `InvalidData` when there is none, or the storage differs."""
    known = EXTENSIONS.get(extension.name)
    if known is None or not known.storage(extension.storage):
        cast = f"cast the column to its storage ({extension.storage}) if that is what you mean, or leave it out"
        raise refused_type(path, f"{extension.name} (kept as {extension.storage})", REMEDIES.get(extension.name, cast))
    return known


def is_list(type_: pa.DataType) -> bool:
    """Any of the five list layouts."""
    lists = (_T.is_list, _T.is_large_list, _T.is_fixed_size_list, _T.is_list_view, _T.is_large_list_view)
    return any(matches(type_) for matches in lists)


def _plain_child(field: pa.Field, path: str) -> pa.DataType:
    return plain_type(field.type, field.metadata, path)


def _opaque(metadata: Mapping[bytes, bytes]) -> str:
    try:
        details = json.loads(metadata.get(_DETAILS, b""))
        return f"{details['vendor_name']}.{details['type_name']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "arrow.opaque"


def _remedy(type_: pa.DataType) -> str:
    if _T.is_interval(type_):
        return INTERVALS
    if _T.is_union(type_):
        return "send one column per type"
    return "convert the column to a number, string, timestamp, list or struct"
