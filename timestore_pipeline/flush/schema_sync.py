"""A dataset's record and its table, made to agree before rows are exported: columns that the table lacks are added.

Two shards may give a column they both add different types, or spell it differently, or lay the dataset out by other
spans of time. The table has one of them, and rows of it are published; so the other's ledger learns it. What is staged
already is cast (`retyped_columns`), or set aside. Crash: the ledger has learnt, or the next flush learns.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from timestore_pipeline.errors import InvalidData, RetryLater, SchemaConflict
from timestore_pipeline.flush.settle import ensure_table, partitioning_of
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.model.canonical import waiting_leaves
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.model.evolution import check_castable
from timestore_pipeline.model.lake import NO_TIME, declare_time
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.system.legible import LogEvent

_log = logging.getLogger(__name__)


def fit_table(area: StagingArea, table: LakeTable, dataset: str) -> tuple[DatasetRecord, Partitioning]:
    """The record that the table fits now, and its layout.

    Raises `SchemaConflict` when the table is laid out otherwise, or is not of our making and has types that no staged
    value can take; `RetryLater` when another process has made such a table and nothing is published in it yet.
    """
    found = area.ledger.datasets.get(dataset)
    while True:
        _, record = area.ledger.schema_changes.settle_for_table(dataset)
        try:
            partitioning = ensure_table(table, record)
        except SchemaConflict as conflict:
            learnt = _as_published(table, record, conflict)
        else:
            _tell_what_was_open(found, record)
            return record, partitioning
        area.ledger.datasets.learn(record, learnt)


def _tell_what_was_open(found: DatasetRecord, record: DatasetRecord) -> None:
    """An operator can still change it, under another name or with `retype`; a later flush does not log it again."""
    assert found.schema is not None, "a claimed dataset has a schema"
    if waiting := waiting_leaves(found.schema):
        columns = ", ".join(waiting)
        _log.warning(
            "%s", LogEvent("columns without a value so far are published as text", dataset=record.name, columns=columns)
        )
    if found.granularity is None and record.granularity is Granularity.NONE and not _wants_none(record):
        hint = declare_time(record.name)
        _log.warning("%s", LogEvent("published without partitions", dataset=record.name, why=NO_TIME, hint=hint))


def _wants_none(record: DatasetRecord) -> bool:
    return record.metadata.partition.granularity is Granularity.NONE


def _as_published(table: LakeTable, record: DatasetRecord, conflict: SchemaConflict) -> DatasetRecord:
    """The record in the table's columns; raises the conflict when that is no remedy."""
    assert record.schema is not None, "a claimed dataset has a schema"
    try:
        schema = table.as_published(record.schema)
    except InvalidData:
        raise conflict from None
    names = dict(zip(record.schema.names, schema.names, strict=True))
    granularity = _granularity(table.partition_columns(), record)
    partitioning = Partitioning.of(schema, granularity, names.get(record.time_column or "", record.time_column))
    time_column = partitioning.time_column if partitioning.time_kind is not None else None
    learnt = replace(record, schema=schema, time_column=time_column, granularity=granularity)
    if learnt == record or not _laid_out_as(table, learnt):
        raise conflict
    _check_authority(table, record, learnt, conflict)
    return learnt


def _granularity(columns: Sequence[str], record: DatasetRecord) -> Granularity:
    """How a table that is partitioned by these columns is laid out; rows are staged without a layout."""
    assert record.granularity is not None, "a flush has settled the layout"
    column = partitioning_of(record).column
    if list(columns) == ([column] if column else []):
        return record.granularity
    known = {(): Granularity.NONE, ("partition_hour",): Granularity.HOUR, ("partition_date",): Granularity.DAY}
    return known.get(tuple(columns), record.granularity)


def _laid_out_as(table: LakeTable, record: DatasetRecord) -> bool:
    column = partitioning_of(record).column
    return table.partition_columns() == ([column] if column else [])


def _check_authority(table: LakeTable, record: DatasetRecord, learnt: DatasetRecord, conflict: SchemaConflict) -> None:
    """Another layout, or types that no staged value can take, are believed only where rows of ours are published so.

    Types that `timestore datasets retype` gave are ours in any case.
    """
    if record.granularity == learnt.granularity and (table.was_retyped() or _may_be_cast(record, learnt)):
        return
    holds_flushes = table.holds_flushes()
    if holds_flushes is None:
        hint = "the owner of the table publishes first; if it has none, move it out of the lake"
        raise RetryLater(f"{conflict}, where there are no rows yet", hint=hint) from conflict
    if not holds_flushes:
        raise conflict


def _may_be_cast(record: DatasetRecord, learnt: DatasetRecord) -> bool:
    assert record.schema is not None, "a claimed dataset has a schema"
    assert learnt.schema is not None, "a claimed dataset has a schema"
    try:
        for ours, theirs in zip(record.schema, learnt.schema, strict=True):
            check_castable(theirs.type, ours.type, theirs.name)
    except SchemaConflict:
        return False
    return True
