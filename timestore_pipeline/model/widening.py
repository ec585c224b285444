"""Which column types hold the values of which others, and the wider types of a column while no row is published.

Whether a wider type holds the staged values exactly depends on their extents: a whole number beyond 2**53 is not always
a double, and a decimal column has 38 digits in all.

Remedies for data that do not fit a column: the command that declares the type, or that rewrites the table.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from timestore_pipeline.errors import SchemaConflict
from timestore_pipeline.model.batch import Extent, Extents
from timestore_pipeline.model.declared import type_text

if TYPE_CHECKING:
    from timestore_pipeline.model.evolution import Rules

_MOST_DIGITS = 38


def holds(existing: pa.DataType, incoming: pa.DataType) -> bool:
    """Whether a column of `existing` can take values of the canonical type `incoming`, each value checked later."""
    t = pa.types
    if existing.equals(incoming):
        return True
    if t.is_int64(incoming):
        return bool(t.is_float64(existing) or t.is_decimal(existing))
    if t.is_decimal(incoming) and t.is_decimal(existing):
        return bool(existing.scale >= incoming.scale)
    return bool(t.is_date32(incoming) and t.is_timestamp(existing))


def spelt_exactly(existing: pa.DataType, incoming: pa.DataType) -> bool:
    """Whether values of `incoming` have exactly one spelling, which a text column can hold.

    A double has several (`14`, `14.0`, `1.4e1`), and so has an instant.
    """
    t = pa.types
    return bool(t.is_string(existing) and (t.is_int64(incoming) or t.is_boolean(incoming) or t.is_decimal(incoming)))


def wider(existing: pa.DataType, incoming: pa.DataType) -> pa.DataType | None:
    """The type of `incoming` if it holds all values of `existing`, extents aside; else None."""
    return incoming if holds(incoming, existing) else None


def widened(before: pa.DataType, after: pa.DataType, path: str) -> Iterator[tuple[str, pa.DataType, pa.DataType]]:
    """(path, old, new) of every leaf inside `path` whose type changes."""
    if before.equals(after) or pa.types.is_null(before):
        return
    if pa.types.is_list(before) and pa.types.is_list(after):
        yield from widened(before.value_type, after.value_type, f"{path}[]")
    elif pa.types.is_map(before) and pa.types.is_map(after):
        yield from widened(before.key_type, after.key_type, f"{path}{{key}}")
        yield from widened(before.item_type, after.item_type, f"{path}{{value}}")
    elif pa.types.is_struct(before) and pa.types.is_struct(after):
        for field in before:
            yield from widened(field.type, after.field(field.name).type, f"{path}.{field.name}")
    else:
        yield path, before, after


def changed_leaves(before: pa.Schema, after: pa.Schema) -> list[tuple[str, pa.DataType, pa.DataType]]:
    """`widened` of all columns of `before`, which `after` has too."""
    return [leaf for field in before for leaf in widened(field.type, after.field(field.name).type, field.name)]


def check_extents(
    before: pa.Schema, after: pa.Schema, extents: Extents | None, hint: str, where: str = "in the data"
) -> None:
    """Raise `SchemaConflict` when the new types may not hold the staged values exactly.

    extents: of all staged values; None = columns keep their types.
    """
    for path, old, new in changed_leaves(before, after):
        extent = Extent() if extents is None else extents.get(path, Extent())
        if extents is None or not survives(old, new, extent):
            raise SchemaConflict(
                f"column {path!r} is {old} in the dataset but {new} {where}, and {_why(extent, extents, new)}",
                column=path,
                existing=str(old),
                incoming=str(new),
                hint=hint,
            )


def survives(old: pa.DataType, new: pa.DataType, extent: Extent) -> bool:
    """Whether `new` holds every value of `old` within the extent exactly."""
    t = pa.types
    if t.is_float64(new):
        return bool(t.is_int64(old) and extent.doubles)
    if t.is_decimal(new):
        return bool((t.is_int64(old) or t.is_decimal(old)) and extent.digits + new.scale <= _MOST_DIGITS)
    return holds(new, old) or spelt_exactly(new, old)


def _why(extent: Extent, extents: Extents | None, new: pa.DataType) -> str:
    if extents is None:
        return "rows of it are published or in flight"
    if pa.types.is_float64(new):
        return "a staged whole number is not exact as a double"
    if not pa.types.is_decimal(new):
        return "staged values might change"
    return f"staged numbers have up to {extent.digits} digits before the decimal point"


def declare(dataset: str, column: str, type_: str) -> str:
    """The command that declares a column's type."""
    document = json.dumps({"schema": {"columns": {column: type_}}}, ensure_ascii=False)
    return f"timestore datasets set {dataset} {shlex.quote(document)}"


def publish_first(dataset: str) -> str:
    """The remedy where every value has to be examined."""
    return f"publish the staged rows (`timestore flush {dataset} --now`), then see `timestore datasets retype`"


def retype(dataset: str, column: str, type_: str) -> str:
    """The command that gives a published column another type."""
    return f"timestore datasets retype {dataset} {shlex.quote(column)} {shlex.quote(type_)}"


def remedy_for(
    existing: pa.DataType, incoming: pa.DataType, wanted: pa.DataType | None, column: str, rules: Rules
) -> str:
    """wanted: the type that would hold both, None = there is none."""
    t = pa.types
    command = declare if rules.widens else retype
    if wanted is not None:
        state = "declares a type for both" if rules.widens else "gives the published column that type"
        return f"`{command(rules.dataset, column, type_text(wanted))}` {state}"
    if t.is_time(existing) or t.is_duration(existing):
        kind = type_text(existing)
        return f"send a {kind}; or take integers for microseconds: `{declare(rules.dataset, column, kind)}`"
    if t.is_timestamp(existing):
        zone = "instants with a time zone" if existing.tz else "local times without a time zone"
        if not t.is_timestamp(incoming):
            return f"send {zone}, typed as timestamps"
        as_utc = ", or set schema.localTimestamps of the dataset to utc" if existing.tz else ""
        return f"say which is meant: send {zone}{as_utc}"
    if t.is_string(existing) and column not in rules.declared:
        return f"send text; or take numbers as they are written: `{declare(rules.dataset, column, 'string')}`"
    if spelt_exactly(pa.string(), existing):
        return f"send {existing}, or make the column text: `{command(rules.dataset, column, 'string')}`"
    return f"convert the column to {existing}, or send it under another name"
