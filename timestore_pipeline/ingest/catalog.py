"""Fits incoming data to its dataset: casts the rows to its next schema, and describes the change to that schema.

Nothing is written here. A change of columns or layout goes with the batch, and is made in the transaction that promises
it (`schema_changes`): so a batch that is refused, by whatever comes later, leaves no trace in the dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from timestore_pipeline.errors import InvalidMetadata, SchemaConflict, UndeclaredDataset
from timestore_pipeline.ingest.exportable import check_exportable
from timestore_pipeline.ingest.formats.reading import Reading
from timestore_pipeline.ingest.values.by_row import arrow_errors_typed
from timestore_pipeline.ingest.values.conform import columns_with_range, conform
from timestore_pipeline.ingest.values.exact_cast import is_in_range
from timestore_pipeline.ingest.values.interpret import interpret
from timestore_pipeline.ingest.values.policy import ValuePolicy
from timestore_pipeline.model.canonical import MOST_FIELDS, check_column_names, is_untyped
from timestore_pipeline.model.dataset import Admits, DatasetMetadata, check_dataset_name
from timestore_pipeline.model.declared import tells_time
from timestore_pipeline.model.evolution import Rules, evolve
from timestore_pipeline.model.source_types import plain_type
from timestore_pipeline.model.widening import check_extents, declare, publish_first
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord, Layout
from timestore_pipeline.staging.ledger.schema_changes import SchemaChange, Standing
from timestore_pipeline.system import clock


@dataclass(frozen=True, slots=True)
class Fitted:
    """Rows in the columns of their dataset."""

    record: DatasetRecord  # as it is, or as `change` will make it
    rows: pa.Table
    times_changed: int  # of the dataset, when it was looked at; see `Standing`
    change: SchemaChange | None = None  # None = the dataset has every column already


def fitted_to(schema: pa.Schema, record: DatasetRecord, source: pa.Table) -> pa.Table:
    """Rows in a schema that has all columns of their record, and may be newer; raises as `DatasetCatalog.fit`."""
    policy = ValuePolicy.of(record.metadata)
    plain = interpret(source, policy, schema)
    evolve(schema, plain.schema, Rules(declared=policy.declared))  # refuses what a cast would reinterpret
    return conform(plain, schema, record.time_column, policy)


@dataclass(frozen=True, slots=True)
class _Known:
    """The last schema seen of a dataset, as `interpret` left it, and the record that was found to accept it."""

    incoming: pa.Schema
    record: DatasetRecord
    policy: ValuePolicy
    times_changed: int
    ranged: Sequence[int] | None  # see `columns_with_range`; None = rows in `incoming` have to be converted

    @classmethod
    def of(cls, fitted: Fitted, plain: pa.Table, rows: pa.Table) -> _Known:
        """The same rows as they came in, as `interpret` left them, and as they fit."""
        record = fitted.record
        as_they_come = plain is rows and plain.schema.equals(fitted.rows.schema, check_metadata=True)
        ranged = columns_with_range(record.schema) if as_they_come else None
        return cls(plain.schema, record, ValuePolicy.of(record.metadata), fitted.times_changed, ranged)

    def keeps(self, rows: pa.Table) -> bool:
        """Whether rows are stored as they are: they have the same schema, and every value can be kept."""
        if self.ranged is None or not rows.schema.equals(self.incoming, check_metadata=True):
            return False
        return all(is_in_range(rows.column(position)) for position in self.ranged)


class DatasetCatalog:
    """Remembers per dataset what was found last, so that the usual batch costs no ledger access."""

    def __init__(self, ledger: Ledger, most_fields: int = MOST_FIELDS, admits: Admits = Admits.ANY) -> None:
        self._ledger, self._most_fields, self._admits = ledger, most_fields, admits
        self._known: dict[str, _Known] = {}
        self._changed = ledger.datasets.times_changed()

    def fit(self, dataset: str, rows: pa.Table) -> Fitted:
        """The rows as the dataset will have them; one that does not exist is made with the promise of the rows.

        Raises `InvalidDatasetName`, `UndeclaredDataset`, `InvalidData`, `InvalidMetadata`, or `SchemaConflict` that
        names the column and both types; nothing is to be staged then.
        """
        known = self._known.get(dataset)
        if known is not None and known.keeps(rows):
            return Fitted(known.record, rows, known.times_changed)
        with arrow_errors_typed(rows):
            return self._converted(dataset, rows, known)

    def refit(self, dataset: str, rows: pa.Table) -> Fitted:
        """`fit` from the ledger, without the remembered schema."""
        self._known.pop(dataset, None)
        return self.fit(dataset, rows)

    def refresh(self) -> None:
        """Forget what is known when types were changed or declared anew: nothing of another is to be let in."""
        changed = self._ledger.datasets.times_changed()
        if changed != self._changed:
            self._changed = changed
            self._known.clear()

    def reading(self, dataset: str) -> Reading:
        """The dataset as the ledger has it now; raises `InvalidDatasetName` and `UndeclaredDataset`."""
        record = self._ledger.datasets.find(self._admitted(dataset)) or _unheard_of(dataset)
        return Reading(record.schema, record.metadata, record.time_column or record.metadata.time_column)

    def is_nothing(self, dataset: str, rows: pa.Table) -> bool:
        """Whether there are neither rows nor any column whose type is known: a header over nothing, for a new dataset.

        Raises as `reading`, and `InvalidData` for names and types that no dataset can have.
        """
        if rows.num_rows or not all(is_untyped(plain_type(f.type, f.metadata, f.name)) for f in rows.schema):
            return False
        check_column_names(rows.column_names)
        reading = self.reading(dataset)
        return reading.schema is None and reading.columns.keys().isdisjoint(rows.column_names)

    def check(self, dataset: str, rows: pa.Table) -> None:
        """Raise what `fit` would raise; nothing is made, so data can be looked through before any of it counts."""
        with arrow_errors_typed(rows):
            _fit(self._standing(dataset), rows, self._most_fields)

    def _standing(self, dataset: str) -> Standing:
        """Of a dataset that does not exist: as the promise of its first batch will make it."""
        return self._ledger.schema_changes.standing(self._admitted(dataset)) or Standing(_unheard_of(dataset), 0, {})

    def _admitted(self, dataset: str) -> str:
        """The name, if the dataset admits batches."""
        name = check_dataset_name(dataset)
        if self._admits is Admits.DECLARED:
            known = self._ledger.datasets.names(active=True)
            if name not in known:
                raise UndeclaredDataset(name, known)
        return name

    def _converted(self, dataset: str, rows: pa.Table, known: _Known | None) -> Fitted:
        if known is not None:
            plain = interpret(rows, known.policy, known.record.schema)
            if known.incoming.equals(plain.schema):
                return Fitted(known.record, _conformed(known.record, plain, known.policy), known.times_changed)
        changed = self._changed
        fitted, plain = _fit(self._standing(dataset), rows, self._most_fields)
        if fitted.change is None and _layout_settled(fitted.record) and changed == self._changed:
            self._known[dataset] = _Known.of(fitted, plain, rows)
        return fitted


def _fit(standing: Standing, rows: pa.Table, most_fields: int) -> tuple[Fitted, pa.Table]:
    """The rows as the dataset will have them, and as `interpret` left them."""
    record = standing.record
    policy = ValuePolicy.of(record.metadata)
    plain = interpret(rows, policy, record.schema)
    schema = _evolved(standing, plain.schema)
    check_exportable(schema, record, most_fields)
    layout = _layout(record, schema, plain)
    column, granularity = (None, None) if layout is None else (layout.time_column, layout.granularity)
    future = replace(record, schema=schema, time_column=column, granularity=granularity)
    fitted = _conformed(future, plain, policy)
    if (record.schema, record.granularity) == (schema, granularity):
        return Fitted(record, fitted, standing.times_changed), plain
    change = SchemaChange(record.schema_version, record.schema, schema, column, granularity)
    future = replace(future, schema_version=record.schema_version + 1)
    return Fitted(future, fitted, standing.times_changed, change), plain


def _conformed(record: DatasetRecord, plain: pa.Table, policy: ValuePolicy) -> pa.Table:
    assert record.schema is not None, "evolved to take the rows"
    return conform(plain, record.schema, record.time_column, policy)


def _unheard_of(dataset: str) -> DatasetRecord:
    fresh: dict[str, Any] = {"schema": None, "schema_version": 0, "time_column": None, "granularity": None}
    return DatasetRecord(0, dataset, DatasetMetadata(), **fresh, paused=False, last_epoch=0, created_at=clock.now())


def _evolved(standing: Standing, incoming: pa.Schema) -> pa.Schema:
    record = standing.record
    spec = record.metadata.schema_
    try:
        rules = Rules(spec.evolution, spec.declared, standing.extents is not None, record.name)
        schema = evolve(record.schema, incoming, rules)
        if record.schema is not None:
            check_extents(record.schema, schema, standing.extents, publish_first(record.name))
    except SchemaConflict as conflict:
        conflict.dataset = record.name
        raise
    return _with_declared_time(record, schema)


def _with_declared_time(record: DatasetRecord, schema: pa.Schema) -> pa.Schema:
    """A time column whose type is declared is there from the first batch on, which may have no time in it."""
    named = record.metadata.time_column
    declared = record.metadata.schema_.declared.get(named or "")
    if named is None or declared is None or record.granularity is not None or named in schema.names:
        return schema
    return schema.append(pa.field(named, declared.type))


def _layout_settled(record: DatasetRecord) -> bool:
    """Whether more rows with the same columns cannot change the layout."""
    assert record.schema is not None, "evolved to take the rows"
    return record.granularity is not None or not any(tells_time(field.type) for field in record.schema)


def _layout(record: DatasetRecord, schema: pa.Schema, rows: pa.Table) -> Layout | None:
    """None = it stays open: no column tells a time in any row yet, and none was declared with its type."""
    if record.granularity is not None:
        return Layout(record.time_column, record.granularity)
    named = record.metadata.time_column
    if named is not None:
        _check_time_column(record.name, named, schema, rows)
        if named in record.metadata.schema_.columns:
            return Layout(named, record.metadata.partition.granularity)
    candidates = schema.names if named is None else [named]
    column = next((name for name in candidates if _tells_time(name, schema, rows)), None)
    return None if column is None else Layout(column, record.metadata.partition.granularity)


def _tells_time(name: str, schema: pa.Schema, rows: pa.Table) -> bool:
    """Whether the column is a time, and any of the rows has one."""
    if name not in schema.names or name not in rows.column_names:
        return False
    return tells_time(schema.field(name).type) and rows[name].null_count < rows.num_rows


def _check_time_column(dataset: str, named: str, schema: pa.Schema, rows: pa.Table) -> None:
    """A named column may come later if the data leave it empty; one that they do not have was misspelt."""
    found = schema.field(named).type if named in schema.names else None
    if (found is None and named in rows.column_names) or (found is not None and tells_time(found)):
        return
    hint = f"columns are: {', '.join(schema.names)}; correct `time_column` with `timestore datasets set`"
    if found is not None:
        hint += f", or `{declare(dataset, named, 'timestamp')}`"
    raise InvalidMetadata(
        f"time column {named!r} of dataset {dataset!r} is "
        + ("not in the data" if found is None else f"of type {found}, not a timestamp or date"),
        dataset=dataset,
        hint=hint,
    )
