"""Fits incoming data to its dataset: casts the rows to the schema it will have, then settles that schema in the ledger.

Values are checked before the schema changes, so a refused batch leaves no column behind and fixes no layout; the
schema changes before any row of the new shape is staged, so a crash in between leaves a column that has no rows yet,
which is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from timestore_pipeline import clock
from timestore_pipeline.errors import InvalidMetadata, SchemaConflict
from timestore_pipeline.ingest.interpret import interpret
from timestore_pipeline.ingest.local_notice import tell_of_local_times
from timestore_pipeline.ingest.normalize import conform
from timestore_pipeline.ingest.policy import ValuePolicy
from timestore_pipeline.ingest.reading import Reading
from timestore_pipeline.model.columns import default_time_column, evolve
from timestore_pipeline.model.dataset import DatasetMetadata, Granularity, check_dataset_name
from timestore_pipeline.staging.ledger.datasets import DatasetRecord, Datasets, Layout


@dataclass(frozen=True, slots=True)
class _Known:
    """The last schema seen of a dataset, as `interpret` left it, and the record that was found to accept it."""

    incoming: pa.Schema
    record: DatasetRecord
    policy: ValuePolicy


class DatasetCatalog:
    """Remembers per dataset what was settled last, so that the usual batch costs no ledger access."""

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets
        self._known: dict[str, _Known] = {}
        self._retyped = datasets.times_retyped()

    def fit(self, dataset: str, rows: pa.Table) -> tuple[DatasetRecord, pa.Table]:
        """The dataset's record and the rows in its schema.

        Raises `InvalidDatasetName`, `InvalidData`, `InvalidMetadata`, or `SchemaConflict` that names the column and
        both types; nothing is staged then.
        """
        known = self._known.get(dataset)
        if known is not None:
            plain = interpret(rows, known.policy, known.record.schema)
            if known.incoming.equals(plain.schema):
                assert known.record.schema is not None, "a settled dataset has a schema"
                return known.record, conform(plain, known.record.schema, known.record.time_column, known.policy)
        retyped = self._retyped
        settled, fitted = self._settle(dataset, rows)
        if retyped == self._retyped:
            self._known[dataset] = settled
        return settled.record, fitted

    def refresh(self) -> None:
        """Forget what is known when a flush has learnt a published type: nothing of another is to be let in."""
        retyped = self._datasets.times_retyped()
        if retyped != self._retyped:
            self._retyped = retyped
            self._known.clear()

    def reading(self, dataset: str) -> Reading:
        """What the ledger knows of the dataset now; raises `InvalidDatasetName`."""
        record = self._datasets.find(check_dataset_name(dataset)) or _unheard_of(dataset)
        return Reading(record.schema, record.metadata, record.time_column or record.metadata.time_column)

    def check(self, dataset: str, rows: pa.Table) -> None:
        """Raise what `fit` would raise; nothing is settled, so data can be looked through before any of it counts."""
        record = self._datasets.find(check_dataset_name(dataset)) or _unheard_of(dataset)
        policy = ValuePolicy.of(record.metadata)
        plain = interpret(rows, policy, record.schema)
        schema = _evolved(record, plain.schema)
        conform(plain, schema, _layout(record, schema).time_column, policy)

    def _settle(self, dataset: str, rows: pa.Table) -> tuple[_Known, pa.Table]:
        """Bring the ledger's schema up to what is incoming; another process may do the same at the same time."""
        while True:
            record = self._datasets.ensure(dataset)
            policy = ValuePolicy.of(record.metadata)
            plain = interpret(rows, policy, record.schema)
            schema = _evolved(record, plain.schema)
            layout = _layout(record, schema)
            fitted = conform(plain, schema, layout.time_column, policy)
            if record.schema is not None and schema.equals(record.schema):
                return _Known(plain.schema, record, policy), fitted
            if self._datasets.replace_schema(record, schema, layout):
                tell_of_local_times(dataset, record.schema, schema)


def _unheard_of(dataset: str) -> DatasetRecord:
    return DatasetRecord(
        dataset_id=0,
        name=dataset,
        metadata=DatasetMetadata(),
        schema=None,
        schema_version=0,
        time_column=None,
        granularity=None,
        paused=False,
        last_epoch=0,
        created_at=clock.now(),
    )


def _evolved(record: DatasetRecord, incoming: pa.Schema) -> pa.Schema:
    try:
        return evolve(record.schema, incoming, record.metadata.schema_.evolution)
    except SchemaConflict as conflict:
        conflict.dataset = record.name
        raise


def _layout(record: DatasetRecord, schema: pa.Schema) -> Layout:
    if record.granularity is not None:
        return Layout(record.time_column, record.granularity)
    column = record.metadata.time_column or default_time_column(schema)
    if column is None:
        return Layout(None, Granularity.NONE)
    _check_time_column(record.name, record.metadata, column, schema)
    return Layout(column, record.metadata.partition.granularity)


def _check_time_column(dataset: str, metadata: DatasetMetadata, column: str, schema: pa.Schema) -> None:
    found = schema.field(column).type if column in schema.names else None
    if found is not None and (pa.types.is_timestamp(found) or pa.types.is_date32(found)):
        return
    raise InvalidMetadata(
        f"time column {metadata.time_column!r} of dataset {dataset!r} is "
        + ("not in the data" if found is None else f"of type {found}, not a timestamp or date"),
        dataset=dataset,
        hint=f"columns are: {', '.join(schema.names)}; correct `time_column` with `timestore datasets set`",
    )
