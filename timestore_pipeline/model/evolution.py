"""Which incoming columns fit an existing dataset, and the schema that results.

New columns, and new fields of objects at any depth, are appended; a waiting type is settled by the first value; a value
of a narrower kind is stored in the column's own type. As long as no row of the dataset is published a column may also
take a wider type, see `widening`. Whether each *value* is kept exactly is checked when the rows are conformed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa

from timestore_pipeline.errors import InvalidData, SchemaConflict
from timestore_pipeline.model.canonical import (
    MOST_FIELDS,
    canonical_schema,
    canonical_type,
    check_column_names,
    check_field_names,
    fields_of,
    is_untyped,
)
from timestore_pipeline.model.dataset import Evolution
from timestore_pipeline.model.declared import DeclaredType
from timestore_pipeline.model.source_types import is_list
from timestore_pipeline.model.widening import holds, remedy_for, spelt_exactly, wider

_ABSENT = "no such column"

_Holds = Callable[[pa.DataType, pa.DataType], bool]


@dataclass(frozen=True, slots=True)
class Rules:
    """The changes that a dataset's schema allows."""

    evolution: Evolution = Evolution.ADDITIVE
    declared: Mapping[str, DeclaredType] = field(default_factory=dict)  # by column; others get the type of the data
    widens: bool = False  # no row is published: a column may take a wider type
    dataset: str = "DATASET"  # its name, for commands in hints


def evolve(existing: pa.Schema | None, incoming: pa.Schema, rules: Rules | Evolution) -> pa.Schema:
    """The dataset's schema after accepting data of the schema `incoming`, in plain types.

    `existing` is canonical, or None for a new dataset. Its columns keep their order, new ones are appended. Raises
    `InvalidData` for data that no dataset can hold, `SchemaConflict` for data that this one cannot hold.
    """
    rules = Rules(rules) if isinstance(rules, Evolution) else rules
    if existing is None:
        existing = _first(incoming, rules)
        _check_fields(existing, rules)
    if incoming.equals(existing):  # the hot path: a producer that always sends the same columns
        return existing
    check_column_names(incoming.names)
    known = {column.name: column.type for column in existing}
    added = [column for column in incoming if column.name not in known]
    for column in added:
        _check_new(column, existing, rules)
    sent = {column.name: column.type for column in incoming}
    evolved = [
        pa.field(name, _accepted(type_, sent[name], name, rules) if name in sent else type_)
        for name, type_ in known.items()
    ]
    evolved += [_new(column, rules) for column in added if not is_untyped(column.type) or column.name in rules.declared]
    schema = pa.schema(evolved)
    if schema.equals(existing):
        return existing
    _check_fields(schema, rules)
    return schema


def check_castable(published: pa.DataType, staged: pa.DataType, path: str, *, declared: bool = False) -> None:
    """Raise `SchemaConflict` when rows that were staged as `staged` cannot be published as `published`.

    Accepts more than `evolve`, because these rows were acknowledged: a `double` may hold only whole numbers; and a
    column that was declared to be text may have replaced one of numbers. The cast checks whether each value is kept.
    """
    takes: _Holds = lambda one, other: _may_hold(one, other) or (declared and spelt_exactly(one, other))  # noqa: E731
    _merged(published, staged, path, Rules(), takes, grows=False)


def _check_fields(schema: pa.Schema, rules: Rules) -> None:
    """Every column costs every flush and every reader, even if it is null in all rows but one."""
    count = sum(fields_of(column.type) for column in schema)
    if count > MOST_FIELDS:
        hint = f"a dataset has at most {MOST_FIELDS}: send the varying part of the names as values, or use two datasets"
        raise InvalidData(f"dataset {rules.dataset} would have {count} columns and fields", hint=hint)


def _first(incoming: pa.Schema, rules: Rules) -> pa.Schema:
    """The schema of a new dataset; a declared column is part of it even if the data has only nulls for it."""
    typed = [
        pa.field(column.name, rules.declared[column.name].type)
        if is_untyped(column.type) and column.name in rules.declared
        else column
        for column in incoming
    ]
    return pa.schema([_new(column, rules) for column in canonical_schema(pa.schema(typed))])


def _new(column: pa.Field, rules: Rules) -> pa.Field:
    declared = rules.declared.get(column.name)
    if declared is None:
        return pa.field(column.name, canonical_type(column.type, column.name))
    unpublished = replace(rules, widens=True)
    return pa.field(column.name, _accepted(declared.type, column.type, column.name, unpublished))


def _check_new(column: pa.Field, existing: pa.Schema, rules: Rules) -> None:
    _check_spelling(column.name, existing.names, column.name, str(column.type), "column")
    if rules.evolution is Evolution.STRICT:
        hint = "leave the column out, or set the dataset's schema.evolution to additive"
        raise _conflict(column.name, _ABSENT, str(column.type), hint)


def _check_spelling(name: str, known: list[str], path: str, incoming: str, kind: str) -> None:
    for other in known:
        if other.casefold() == name.casefold():
            raise _conflict(path, f"no such {kind}", incoming, f"the dataset spells this {kind} {other!r}; rename it")


def _accepted(existing: pa.DataType, incoming: pa.DataType, name: str, rules: Rules) -> pa.DataType:
    """The type of the column `name` once it has taken values of `incoming`; a declared one keeps its type."""
    allowed = replace(rules, widens=rules.widens and name not in rules.declared)
    try:
        merged = _merged(existing, incoming, name, allowed, _taken(name, rules))
    except SchemaConflict as conflict:
        if not conflict.hint:
            wanted = _wanted(existing, incoming, name, rules)
            conflict.hint = remedy_for(existing, incoming, wanted, name, rules)
        raise
    return existing if merged.equals(existing) else canonical_type(merged, name)  # raises if nested too deeply


def _taken(name: str, rules: Rules) -> _Holds:
    """Which values a column accepts: one that was declared to be text also accepts numbers, as they are written."""
    if name not in rules.declared:
        return holds
    return lambda existing, incoming: holds(existing, incoming) or spelt_exactly(existing, incoming)


def _wanted(existing: pa.DataType, incoming: pa.DataType, name: str, rules: Rules) -> pa.DataType | None:
    """A type in which the column would hold both exactly; None = there is none."""
    try:
        return _merged(existing, incoming, name, replace(rules, evolution=Evolution.ADDITIVE, widens=True), holds)
    except SchemaConflict:
        return None


def _merged(
    existing: pa.DataType, incoming: pa.DataType, path: str, rules: Rules, takes: _Holds, *, grows: bool = True
) -> pa.DataType:
    if is_untyped(incoming):
        return existing
    if pa.types.is_null(existing):
        return canonical_type(incoming, path)
    if is_list(existing) and is_list(incoming):
        return pa.list_(_merged(existing.value_type, incoming.value_type, f"{path}[]", rules, takes, grows=grows))
    if pa.types.is_struct(existing) and pa.types.is_struct(incoming):
        return _merged_struct(existing, incoming, path, rules, takes, grows)
    if pa.types.is_map(existing) and pa.types.is_map(incoming):
        grows = grows and rules.widens  # DataFusion cannot open a table whose files have fewer fields inside a map
        key = _merged(existing.key_type, incoming.key_type, f"{path}{{key}}", rules, takes, grows=grows)
        return pa.map_(
            key, _merged(existing.item_type, incoming.item_type, f"{path}{{value}}", rules, takes, grows=grows)
        )
    leaf = canonical_type(incoming, path)
    if takes(existing, leaf):
        return existing
    if rules.widens and (wide := wider(existing, leaf)) is not None:
        return wide
    raise _conflict(path, str(existing), str(incoming), "")


def _merged_struct(
    existing: pa.StructType, incoming: pa.StructType, path: str, rules: Rules, takes: _Holds, grows: bool
) -> pa.DataType:
    check_field_names((inner.name for inner in incoming), path)
    sent = {inner.name: inner.type for inner in incoming}
    fields = [
        pa.field(f.name, _merged(f.type, sent.pop(f.name), f"{path}.{f.name}", rules, takes, grows=grows))
        if f.name in sent
        else f
        for f in existing
    ]
    for name, type_ in sent.items():
        inner = f"{path}.{name}"
        _check_spelling(name, [f.name for f in existing], inner, str(type_), "field")
        if rules.evolution is Evolution.STRICT:
            hint = "leave the field out, or set the dataset's schema.evolution to additive"
            raise _conflict(inner, "no such field", str(type_), hint)
        if not grows:
            hint = (
                "objects in a map that is declared or published gain no fields: send the field in a column of its own"
            )
            raise _conflict(inner, "no such field", str(type_), hint)
        fields.append(pa.field(name, canonical_type(type_, inner)))
    return pa.struct(fields)


def _may_hold(existing: pa.DataType, incoming: pa.DataType) -> bool:
    """`holds`, and numbers that may be whole, or need fewer decimal places than their type has."""
    t = pa.types
    if t.is_decimal(incoming) and (t.is_decimal(existing) or t.is_int64(existing)):
        return True
    return holds(existing, incoming) or bool(t.is_float64(incoming) and t.is_int64(existing))


def _conflict(path: str, existing: str, incoming: str, hint: str) -> SchemaConflict:
    message = f"column {path!r} is {existing} in the dataset but {incoming} in the data"
    return SchemaConflict(message, column=path, existing=existing, incoming=incoming, hint=hint)
