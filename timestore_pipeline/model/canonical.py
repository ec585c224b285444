"""The few column types a dataset may have, so that growing never means retyping a published table.

Delta cannot change the type of a published column, so each column starts in the widest type of its kind: a sensor that
sends `int16` today and `int64` tomorrow stays one `int64` column. Types without a counterpart in every engine
(intervals, unions) are refused here, before rows are staged, instead of failing in a flush at night.

Time of day and duration are separate types, so that they never mix with counts, and are stored as microseconds.

Two kinds of leaves, at any depth, need a decision. A type waits where only nulls have arrived, such as the element of
an always empty list: the first value settles it; a flush before that has to publish some type, and uses text. A
timestamp without a time zone becomes one in UTC, or stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.model.refusals import refused_type
from timestore_pipeline.model.source_types import is_list, plain_type
from timestore_pipeline.system.legible import is_text

TIMESTAMP = pa.timestamp("us")
TIMESTAMP_UTC = pa.timestamp("us", "UTC")
TIME = pa.time64("us")  # of day
DURATION = pa.duration("us")
_RESERVED = frozenset({"partition_date", "partition_hour", "partition_month"})
_RESERVED_PREFIX = "__timestore"
DEEPEST = 32  # levels of a column, its values' included; Parquet readers fail at 100 of theirs, two for a list
MOST_FIELDS = 2_000  # columns of a dataset, fields inside columns included
LONGEST_NAME = 1_024  # bytes of UTF-8 of a column's or field's name
_MAX_SCALE = 38  # digits of the widest decimal that Delta, Parquet readers and DuckDB share


def canonical_type(type_: pa.DataType, path: str, level: int = 1) -> pa.DataType:
    """The type a published column at `path` gets for data of `type_`; `InvalidData` when there is none.

    level: of nesting, 1 = the column itself. A type that can only hold nulls becomes `null`, to be settled later
    (`waiting_leaves`).
    """
    if level > DEEPEST:
        raise InvalidData(f"column {path:.60} is nested deeper than {DEEPEST} levels", hint="flatten it")
    plain = plain_type(type_, None, path) if level == 1 else type_
    if is_untyped(plain):
        return pa.null()  # waits for its first value
    if is_list(plain):
        return pa.list_(canonical_type(plain.value_type, f"{path}[]", level + 1))
    if pa.types.is_struct(plain):
        check_field_names((field.name for field in plain), path)
        return pa.struct([pa.field(f.name, canonical_type(f.type, f"{path}.{f.name}", level + 1)) for f in plain])
    if pa.types.is_map(plain):
        key = canonical_type(plain.key_type, f"{path}{{key}}", level + 1)
        return pa.map_(key, canonical_type(plain.item_type, f"{path}{{value}}", level + 1))
    leaf = _canonical_leaf(plain)
    if leaf is None:
        raise refused_type(path, plain, f"round the values to at most {_MAX_SCALE} decimal places")
    return leaf


def canonical_schema(schema: pa.Schema) -> pa.Schema:
    """All columns nullable, in canonical types, without metadata; `InvalidData` names the first unsupported column.

    A column of nulls only has no type yet and is left out; it is added when its first value arrives.
    """
    check_column_names(schema.names)
    fields = [pa.field(f.name, canonical_type(f.type, f.name)) for f in schema if not is_untyped(f.type)]
    if not fields:
        raise InvalidData(
            f"the data has no column with a value (columns: {', '.join(schema.names) or 'none'})",
            hint="send at least one column with at least one value that is not null",
        )
    return pa.schema(fields)


def check_column_names(names: Iterable[str]) -> None:
    """Refuse top-level names that are reserved, or that DuckDB or Delta do not distinguish."""
    names = list(names)
    check_field_names(names, "")
    for name in names:
        folded = name.casefold()
        if folded in _RESERVED or folded.startswith(_RESERVED_PREFIX):
            raise InvalidData(f"column {name!r} has a reserved name", hint="rename the column in the data")


def check_field_names(names: Iterable[str], parent: str) -> None:
    """Refuse names that are empty, hold NUL, are no text, are too long or differ by case only.

    parent: the enclosing struct's path, or ''.
    """
    where = f" in {parent!r}" if parent else ""
    seen: dict[str, str] = {}
    for name in names:
        if not name or "\0" in name:
            raise InvalidData(f"column name {name!r}{where} is empty or contains NUL", hint="give the column a name")
        if not is_text(name):
            problem = f"column name {name!r}{where} holds half of a surrogate pair, which is no character"
            raise InvalidData(problem, hint="write whole characters")
        if len(name.encode()) > LONGEST_NAME:
            problem = f"column name {name[:40]!r}…{where} is longer than {LONGEST_NAME} bytes"
            raise InvalidData(problem, hint="shorten the name, or send its parts as values")
        folded = name.casefold()
        if folded in seen:
            raise InvalidData(
                f"columns {seen[folded]!r} and {name!r}{where} have the same name, or differ by case only",
                hint="rename one of them: SQL engines do not tell them apart",
            )
        seen[folded] = name


def fields_of(type_: pa.DataType, depth: int = 1) -> int:
    """Number of fields in a type, itself included; `InvalidData` if it is nested too deeply."""
    if depth > DEEPEST:
        raise InvalidData(f"a column is nested deeper than {DEEPEST} levels", hint="flatten it")
    if isinstance(type_, pa.BaseExtensionType):
        return fields_of(type_.storage_type, depth + 1)
    if isinstance(type_, pa.DictionaryType):
        return fields_of(type_.value_type, depth + 1)
    return 1 + sum(fields_of(type_.field(index).type, depth + 1) for index in range(type_.num_fields))


def stored_type(type_: pa.DataType) -> pa.DataType:
    """The Arrow type in which rows of the canonical `type_` are staged and published."""
    if type_ in (TIME, DURATION):
        return pa.int64()
    if pa.types.is_list(type_):
        return pa.list_(stored_type(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, stored_type(field.type)) for field in type_])
    if pa.types.is_map(type_):
        return pa.map_(stored_type(type_.key_type), stored_type(type_.item_type))
    return type_


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """The columns as they are staged and published."""
    return pa.schema([pa.field(field.name, stored_type(field.type)) for field in schema])


def is_untyped(type_: pa.DataType) -> bool:
    """Whether a column of this plain type can only hold nulls; an object without fields counts as one."""
    return bool(pa.types.is_null(type_) or (pa.types.is_struct(type_) and type_.num_fields == 0))


def _canonical_leaf(type_: pa.DataType) -> pa.DataType | None:
    t = pa.types
    if t.is_boolean(type_):
        return pa.bool_()
    if t.is_date(type_):
        return pa.date32()
    if t.is_timestamp(type_):
        return TIMESTAMP if type_.tz is None else TIMESTAMP_UTC
    if t.is_time(type_):
        return TIME
    if t.is_duration(type_):
        return DURATION
    if t.is_string(type_) or t.is_large_string(type_) or t.is_string_view(type_):
        return pa.string()
    if t.is_binary(type_) or t.is_large_binary(type_) or t.is_binary_view(type_) or t.is_fixed_size_binary(type_):
        return pa.binary()
    return _canonical_number(type_)


def _canonical_number(type_: pa.DataType) -> pa.DataType | None:
    t = pa.types
    if t.is_uint64(type_):
        return pa.decimal128(_MAX_SCALE, 0)
    if t.is_integer(type_):
        return pa.int64()
    if t.is_floating(type_):
        return pa.float64()
    if t.is_decimal(type_) and type_.scale <= _MAX_SCALE:
        return pa.decimal128(_MAX_SCALE, max(type_.scale, 0))
    return None


def waiting_leaves(schema: pa.Schema) -> list[str]:
    """Paths such as `o.tags[]`."""
    return [path for field in schema for path in _waiting(field.type, field.name)]


def settled_as_text(type_: pa.DataType) -> pa.DataType:
    """The canonical type with text for each waiting leaf."""
    if pa.types.is_null(type_):
        return pa.string()
    if pa.types.is_list(type_):
        return pa.list_(settled_as_text(type_.value_type))
    if pa.types.is_map(type_):
        return pa.map_(settled_as_text(type_.key_type), settled_as_text(type_.item_type))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, settled_as_text(field.type)) for field in type_])
    return type_


def schema_settled_as_text(schema: pa.Schema) -> pa.Schema:
    """The same for all columns."""
    return pa.schema([pa.field(field.name, settled_as_text(field.type)) for field in schema])


def _waiting(type_: pa.DataType, path: str) -> Iterator[str]:
    if pa.types.is_null(type_):
        yield path
    elif pa.types.is_list(type_):
        yield from _waiting(type_.value_type, f"{path}[]")
    elif pa.types.is_map(type_):
        yield from _waiting(type_.key_type, f"{path}{{key}}")
        yield from _waiting(type_.item_type, f"{path}{{value}}")
    elif pa.types.is_struct(type_):
        for field in type_:
            yield from _waiting(field.type, f"{path}.{field.name}")


def local_paths(type_: pa.DataType, path: str) -> Iterator[str]:
    """The path of every timestamp without a time zone in the plain `type_`."""
    if pa.types.is_timestamp(type_) and type_.tz is None:
        yield path
    elif is_list(type_):
        yield from local_paths(type_.value_type, f"{path}[]")
    elif pa.types.is_struct(type_):
        for field in type_:
            yield from local_paths(field.type, f"{path}.{field.name}")
    elif pa.types.is_map(type_):
        yield from local_paths(type_.key_type, f"{path}{{key}}")
        yield from local_paths(type_.item_type, f"{path}{{value}}")


def schema_local_paths(schema: pa.Schema) -> list[str]:
    return [path for field in schema for path in local_paths(field.type, field.name)]


def in_utc(type_: pa.DataType, known: pa.DataType | None) -> pa.DataType:
    """The plain `type_` with instants for local timestamps, except where the dataset's column is local already."""
    if pa.types.is_timestamp(type_):
        is_local = known is not None and pa.types.is_timestamp(known) and known.tz is None
        return type_ if type_.tz is not None or is_local else TIMESTAMP_UTC
    if is_list(type_):
        return pa.list_(in_utc(type_.value_type, known.value_type if known is not None and is_list(known) else None))
    if pa.types.is_struct(type_):
        there = {field.name: field.type for field in known} if known is not None and pa.types.is_struct(known) else {}
        return pa.struct([pa.field(field.name, in_utc(field.type, there.get(field.name))) for field in type_])
    if pa.types.is_map(type_):
        key, item = (known.key_type, known.item_type) if known is not None and pa.types.is_map(known) else (None, None)
        return pa.map_(in_utc(type_.key_type, key), in_utc(type_.item_type, item))
    return type_
