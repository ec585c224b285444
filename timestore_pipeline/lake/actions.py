"""Files as actions of a Delta commit; deltalake URL-encodes the paths itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from deltalake.transaction import AddAction, RemoveAction

from timestore_pipeline.lake.log_files import now_millis
from timestore_pipeline.model.lake import ExportedFile, PartitionKey


def add_action(file: ExportedFile, *, changes_data: bool) -> AddAction:
    """changes_data: False = the rows were in the table before, in other files."""
    return AddAction(file.path, file.bytes, _values(file.partition), now_millis(), changes_data, file.stats)


def completed(add: AddAction, columns: Iterable[str]) -> AddAction:
    """The action with null counts for the table's columns that the file lacks.

    `DeltaTable.to_pyarrow_dataset` of deltalake 1.6 misreads a file with bounds for some columns and no statistics for
    another: it takes no value of that column to match, null included. columns: those of the table with statistics.
    """
    stats = json.loads(add.stats)
    if "minValues" not in stats:
        return add
    absent = dict.fromkeys((name for name in columns if name not in stats["nullCount"]), stats["numRecords"])
    stats["nullCount"] |= absent
    return replace(add, stats=json.dumps(stats, ensure_ascii=False)) if absent else add


def without_bounds(file: dict[str, Any], partition: PartitionKey) -> AddAction:
    """A live file, unchanged, with row and null counts as its only statistics.

    No reader can misread them as bounds of a column that the file lacks. file: as deltalake lists it.
    """
    nulls = {name: count for name, count in (file["null_count"] or {}).items() if isinstance(count, int)}
    stats = json.dumps({"numRecords": file["num_records"], "nullCount": nulls}, ensure_ascii=False)
    return AddAction(unquote(file["path"]), file["size_bytes"], _values(partition), now_millis(), False, stats)


def partition_of(file: dict[str, Any]) -> PartitionKey:
    """The partition of a live file that this product wrote, as deltalake lists it."""
    [(column, value)] = (file.get("partition") or {None: None}).items()
    if isinstance(value, datetime):
        return PartitionKey(column, value.replace(tzinfo=None).isoformat(" "))
    return PartitionKey(column, None if value is None else value.isoformat())


def remove_action(path: str, size: int, partition: PartitionKey) -> RemoveAction:
    """For a file whose rows stay in the table, in another file. size: bytes."""
    return RemoveAction(path, False, now_millis(), size, _values(partition))


def _values(partition: PartitionKey) -> dict[str, str | None]:
    """As the log spells them: an hour with its zone, because Spark reads one without in its session's time zone."""
    if partition.column is None:
        return {}
    hour = partition.value is not None and " " in partition.value
    return {partition.column: f"{str(partition.value).replace(' ', 'T')}.000000Z" if hour else partition.value}


def logged_partition(values: Mapping[str, str | None]) -> PartitionKey:
    """The inverse, for add actions of this product; an hour without a zone is UTC, too."""
    column = next(iter(values), None)
    value = None if column is None else values[column]
    if value is not None and value.endswith("Z"):
        value = datetime.fromisoformat(value).replace(tzinfo=None).isoformat(" ")
    return PartitionKey(column, value)
