"""Which column of a table is to have which type, from what an operator wrote. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from timestore_pipeline.errors import InvalidData, InvalidMetadata
from timestore_pipeline.model.declared import Meaning, parse_type, type_text
from timestore_pipeline.model.recast import Leeway, needs_a_zone


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column, or a field within one, and its types."""

    path: str  # "x", or "o.a" for a field
    column: str  # the column it is in, as the table spells it
    before: pa.DataType
    after: pa.DataType
    column_before: pa.DataType
    column_after: pa.DataType

    @property
    def is_needed(self) -> bool:
        return not self.before.equals(self.after)


def column_type(schema: pa.Schema, path: str, wanted: str, leeway: Leeway, time_column: str | None) -> ColumnType:
    """Raise `InvalidMetadata` for a column or a type that there is not, `InvalidData` where the zone must be said.

    schema: of the published rows, in canonical types. time_column: by which the table is laid out, None = by none.
    """
    after = _parsed(wanted, path)
    column, fields = _found(schema, path)
    before = schema.field(column).type
    for name in fields:
        before = before.field(name).type
    found = ColumnType(
        ".".join([column, *fields]),
        column,
        before,
        after,
        schema.field(column).type,
        _with(schema.field(column).type, fields, after),
    )
    _check(found, leeway, time_column)
    return found


def _parsed(text: str, path: str) -> pa.DataType:
    try:
        declared = parse_type(text)
    except ValueError as error:
        raise InvalidMetadata(f"column {path!r}: {error}", hint="for example: double, string, timestamp") from None
    if declared.meaning is not Meaning.PLAIN:
        hint = f"retype to {type_text(declared.type)}; `timestore datasets set` says how new values are to be read"
        text = f"column {path!r}: {declared.meaning} says how values are read, not how they are published"
        raise InvalidMetadata(text, hint=hint)
    return declared.type


def _found(schema: pa.Schema, path: str) -> tuple[str, list[str]]:
    """The column and the fields below it; the longest name wins, as a column's name may have dots in it."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        wanted = ".".join(parts[:length])
        for name in schema.names:
            if name.casefold() == wanted.casefold() and _has(schema.field(name).type, parts[length:]):
                return name, parts[length:]
    hint = f"published columns: {', '.join(schema.names)}; a field of a struct is written column.field"
    raise InvalidMetadata(f"nothing is published under the column {path!r}", hint=hint)


def _has(kind: pa.DataType, fields: list[str]) -> bool:
    for name in fields:
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            return False
        kind = kind.field(name).type
    return True


def _with(kind: pa.DataType, fields: list[str], after: pa.DataType) -> pa.DataType:
    """The column's type with another one at a field."""
    if not fields:
        return after
    children = [
        pa.field(child.name, _with(child.type, fields[1:], after)) if child.name == fields[0] else child
        for child in kind
    ]
    return pa.struct(children)


def _check(found: ColumnType, leeway: Leeway, time_column: str | None) -> None:
    t = pa.types
    if found.column == time_column and not (t.is_timestamp(found.after) or t.is_date(found.after)):
        hint = "it can become timestamp, local_timestamp or date; or stage under a new name"
        raise InvalidMetadata(f"the table is laid out by {found.column!r}, which must tell a time", hint=hint)
    if needs_a_zone(found.before, found.after) and not leeway.local_is_utc:
        hint = "--local-is-utc, if that is what they are"
        text = f"column {found.path!r}: timestamps without a time zone are instants only if they are known to be in UTC"
        raise InvalidData(text, hint=hint)
