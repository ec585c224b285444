"""A retype request: its column and type, resolved against the published schema, and the staged values that do not fit.

A batch with such values is one that no flush could publish after the change. Every batch acknowledged so far is
checked, in segments and in journals. Batches that arrive later are cast or quarantined by their flush, as with a type
adopted from another shard. Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pyarrow as pa

from timestore_pipeline.errors import InvalidData, InvalidMetadata, UnreadableSegment
from timestore_pipeline.flush.attach import Place, RowsUnfit, attach_sources
from timestore_pipeline.flush.retyped_columns import refuse_unfit, retyped_columns
from timestore_pipeline.model.declared import EPOCHS, DeclaredType, Meaning, parse_type, tells_time
from timestore_pipeline.model.recast import Leeway, needs_a_zone
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.staging.ledger.journals import RecordPlace

_LOOKS = 2  # a roll-up may move a batch while its journal is read, and moves it once


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column, or a part of one, and its types."""

    path: str  # "x", or a part of a column: "o.a" for a field, "tags[]", "marks{key}", "marks{value}"
    column: str  # the column it is in, as the table spells it
    before: pa.DataType
    after: pa.DataType
    column_before: pa.DataType
    column_after: pa.DataType

    @property
    def is_needed(self) -> bool:
        return not self.before.equals(self.after)


def column_type(schema: pa.Schema, path: str, wanted: str, leeway: Leeway, time_column: str | None) -> ColumnType:
    """Raise `InvalidMetadata` for an unknown column or type, `InvalidData` when the time zone must be given.

    schema: of the published rows, in canonical types. time_column: the one that the table is laid out by; None = none.
    """
    after = _parsed(wanted, path)
    column, steps = _found(schema, path)
    whole = schema.field(column).type
    before = whole
    for step in steps:
        before = _inside(before)[step]
    found = ColumnType("".join([column, *steps]), column, before, after, whole, _with(whole, steps, after))
    _check(found, leeway, time_column)
    return found


def _parsed(text: str, path: str) -> pa.DataType:
    try:
        declared = parse_type(text)
    except ValueError as error:
        raise InvalidMetadata(f"column {path!r}: {error}", hint="for example: double, string, timestamp") from None
    if declared.meaning is not Meaning.PLAIN:
        raise _no_published_type(declared, path)
    return declared.type


def _no_published_type(declared: DeclaredType, path: str) -> InvalidMetadata:
    """Neither tables nor staged rows record a meaning, so no cast between types, on any host, can apply it."""
    message = f"column {path!r}: {declared.meaning} says how values are read, not how they are published"
    if declared.meaning is Meaning.UUID:
        reason, hint = "text keeps the spelling in which it was published", "retype to string, then declare uuid"
    elif declared.meaning in EPOCHS:
        reason = "the unit of published numbers, and of those that other hosts have staged, is not recorded"
        hint = f"send the times in a column of another name, and declare that as {declared.meaning}"
    else:
        reason, hint = "it is published as int64, in microseconds", "retype to int64"
    command = '`timestore datasets set`, {"schema": {"columns": …}}'
    return InvalidMetadata(f"{message}: {reason}", hint=f"{hint} ({command}): it holds for new values")


def _found(schema: pa.Schema, path: str) -> tuple[str, list[str]]:
    """The column, and the steps to the part of it. The longest name wins, as names may hold any character."""
    for name in sorted(schema.names, key=len, reverse=True):
        if path[: len(name)].casefold() == name.casefold():
            steps = _steps(schema.field(name).type, path[len(name) :])
            if steps is not None:
                return name, steps
    columns = ", ".join(schema.names)
    hint = f"published columns: {columns}; parts are written place.id, tags[], marks{{key}}, marks{{value}}"
    raise InvalidMetadata(f"there is no published column {path!r}", hint=hint)


def _steps(kind: pa.DataType, path: str) -> list[str] | None:
    """The steps of `path` into a type, each ".name", "[]", "{key}" or "{value}"; None = there is no such part."""
    if not path:
        return []
    for step, inner in sorted(_inside(kind).items(), key=lambda item: len(item[0]), reverse=True):
        if path.startswith(step) and (rest := _steps(inner, path[len(step) :])) is not None:
            return [step, *rest]
    return None


def _inside(kind: pa.DataType) -> dict[str, pa.DataType]:
    if pa.types.is_list(kind):
        return {"[]": kind.value_type}
    if pa.types.is_map(kind):
        return {"{key}": kind.key_type, "{value}": kind.item_type}
    return {f".{field.name}": field.type for field in kind} if pa.types.is_struct(kind) else {}


def _with(kind: pa.DataType, steps: list[str], after: pa.DataType) -> pa.DataType:
    """The column's type with another one at the end of the steps."""
    if not steps:
        return after
    inside = {
        step: _with(inner, steps[1:], after) if step == steps[0] else inner for step, inner in _inside(kind).items()
    }
    if pa.types.is_list(kind):
        return pa.list_(inside["[]"])
    if pa.types.is_map(kind):
        return pa.map_(inside["{key}"], inside["{value}"])
    return pa.struct([pa.field(field.name, inside[f".{field.name}"]) for field in kind])


def _check(found: ColumnType, leeway: Leeway, time_column: str | None) -> None:
    if found.column == time_column and not tells_time(found.after):
        hint = "it can become timestamp, local_timestamp or date; or stage under a new name"
        raise InvalidMetadata(f"{found.column!r} is the table's time column, which must have a time type", hint=hint)
    if needs_a_zone(found.before, found.after) and not leeway.local_is_utc:
        hint = "--local-is-utc, if they are in UTC"
        message = (
            f"column {found.path!r}: timestamps without a time zone are instants only if they are known to be in UTC"
        )
        raise InvalidData(message, hint=hint)


def unfit_batches(area: StagingArea, dataset: str, column: str, after: pa.DataType, leeway: Leeway) -> dict[str, str]:
    """Batch id -> message about its first value that does not fit; empty for a dataset that is not in the ledger."""
    record = area.ledger.datasets.find(dataset)
    if record is None or record.schema is None:
        return {}
    becomes = pa.schema([pa.field(field.name, after) if field.name == column else field for field in record.schema])
    wanted = replace(record, schema=becomes)
    found: dict[str, str] = {}
    checked: set[str] = set()
    for _ in range(_LOOKS):
        staged = area.ledger.staged.at_once([dataset])[dataset]
        for held_in, held in staged.by_file().items():
            ids = {sequence: batch_id for sequence, batch_id in held.items() if batch_id not in checked}
            if not ids:
                continue
            places = [place for place in staged.records if place.journal_id == held_in]
            with suppress(UnreadableSegment):  # rolled up or published meanwhile, or the next flush reports it
                unfit = _unfit(area, wanted, [(held_in, sequence) for sequence in ids], places, column, leeway)
                found |= {ids[sequence]: problem for (_, sequence), problem in unfit.items()}
                checked.update(ids.values())
    return found


def _unfit(
    area: StagingArea,
    wanted: DatasetRecord,
    batches: Sequence[Place],
    places: Sequence[RecordPlace],
    column: str,
    leeway: Leeway,
) -> Mapping[Place, str]:
    with open_engine() as connection:
        try:
            sources = attach_sources(connection, area, wanted.name, batches, places)
            found = retyped_columns(connection, wanted, sources, lambda _: leeway)
            retyped = {name: [one for one in columns if one.name == column] for name, columns in found.items()}
            refuse_unfit(connection, wanted.name, sources, retyped)
        except RowsUnfit as unfit:
            return unfit.culprits
    return {}
