"""Which incoming columns fit a dataset that exists, and what its schema is afterwards.

Nothing here changes a column that was published: new columns are appended, and a value of a narrower kind is stored in
the column's own type. Whether each *value* survives that is checked when the rows are conformed.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from timestore_pipeline.errors import SchemaConflict
from timestore_pipeline.model.canonical import (
    canonical_schema,
    canonical_type,
    check_column_names,
    check_field_names,
    is_untyped,
    unwrap,
)
from timestore_pipeline.model.dataset import Evolution
from timestore_pipeline.model.source_types import is_list

_ABSENT = "no such column"

_Holds = Callable[[pa.DataType, pa.DataType], bool]


def evolve(existing: pa.Schema | None, incoming: pa.Schema, evolution: Evolution) -> pa.Schema:
    """The dataset's schema after accepting data of the raw schema `incoming`.

    `existing` is canonical, or None for a new dataset. Its columns keep order and type, new ones are appended. Raises
    `InvalidData` for data no dataset can hold, `SchemaConflict` for data this one cannot.
    """
    if existing is None:
        return canonical_schema(incoming)
    if incoming.equals(existing):  # the hot path: a producer that always sends the same columns
        return existing
    check_column_names(incoming.names)
    known = {field.name: field.type for field in existing}
    new = [field for field in incoming if field.name not in known]
    for field in new:
        _check_new(field, existing, evolution)
    for field in incoming:
        if field.name in known:
            _check_fits(known[field.name], field.type, field.name, _holds)
    added = [pa.field(f.name, canonical_type(f.type, f.name)) for f in new if not is_untyped(f.type)]
    return pa.schema([*existing, *added]) if added else existing


def check_castable(published: pa.DataType, staged: pa.DataType, path: str) -> None:
    """Raise `SchemaConflict` when rows that were staged as `staged` cannot be published as `published`.

    More passes than `evolve` lets in, because these rows were acknowledged: a `double` may hold nothing but whole
    numbers. Whether each value is kept is for whoever casts them to check.
    """
    _check_fits(published, staged, path, _may_hold)


def _check_new(field: pa.Field, existing: pa.Schema, evolution: Evolution) -> None:
    incoming = str(field.type)
    for name in existing.names:
        if name.casefold() == field.name.casefold():
            raise _conflict(field.name, _ABSENT, incoming, f"the dataset spells this column {name!r}; rename it")
    if evolution is Evolution.STRICT:
        hint = "leave the column out, or set the dataset's schema.evolution to additive"
        raise _conflict(field.name, _ABSENT, incoming, hint)


def _check_fits(existing: pa.DataType, incoming: pa.DataType, path: str, holds: _Holds) -> None:
    plain = unwrap(incoming)
    if pa.types.is_null(plain):
        return
    if is_list(existing) and is_list(plain):
        _check_fits(existing.value_type, plain.value_type, f"{path}[]", holds)
    elif pa.types.is_struct(existing) and pa.types.is_struct(plain):
        _check_struct_fits(existing, plain, path, holds)
    elif pa.types.is_map(existing) and pa.types.is_map(plain):
        _check_fits(existing.key_type, plain.key_type, f"{path}{{key}}", holds)
        _check_fits(existing.item_type, plain.item_type, f"{path}{{value}}", holds)
    elif not holds(existing, canonical_type(plain, path)):
        raise _conflict(path, str(existing), str(incoming), _remedy(existing, plain))


def _check_struct_fits(existing: pa.StructType, incoming: pa.StructType, path: str, holds: _Holds) -> None:
    check_field_names((field.name for field in incoming), path)
    known = {field.name: field.type for field in existing}
    for field in incoming:
        inner = f"{path}.{field.name}"
        if field.name not in known:
            hint = f"a published struct cannot grow; send {field.name!r} as a column of its own ({existing} is known)"
            raise _conflict(inner, "no such field", str(field.type), hint)
        _check_fits(known[field.name], field.type, inner, holds)


def _holds(existing: pa.DataType, incoming: pa.DataType) -> bool:
    """Whether a column of `existing` can take values of the canonical type `incoming`, each value checked later."""
    t = pa.types
    if existing.equals(incoming):
        return True
    if t.is_int64(incoming):
        return bool(t.is_float64(existing) or t.is_decimal(existing))
    if t.is_decimal(incoming) and t.is_decimal(existing):
        return bool(existing.scale >= incoming.scale)
    return bool(t.is_date32(incoming) and t.is_timestamp(existing))


def _may_hold(existing: pa.DataType, incoming: pa.DataType) -> bool:
    """`_holds`, and numbers that may happen to be whole, or to need fewer decimal places than they could have."""
    t = pa.types
    if t.is_decimal(incoming):
        return bool(t.is_decimal(existing) or t.is_int64(existing))
    return _holds(existing, incoming) or bool(t.is_float64(incoming) and t.is_int64(existing))


def _remedy(existing: pa.DataType, incoming: pa.DataType) -> str:
    t = pa.types
    if t.is_timestamp(existing) and t.is_timestamp(incoming):
        return "say which time zone is meant: " + (
            "send instants with a time zone" if existing.tz else "send local times without a time zone"
        )
    if t.is_decimal(existing) and t.is_decimal(incoming):
        return f"round the values to {existing.scale} decimal places"
    return f"convert the column to {existing}, or send it under another name"


def _conflict(path: str, existing: str, incoming: str, hint: str) -> SchemaConflict:
    message = f"column {path!r} is {existing} in the dataset but {incoming} in the data"
    return SchemaConflict(message, column=path, existing=existing, incoming=incoming, hint=hint)
