"""Our files as actions of a Delta commit; deltalake URL-encodes the paths itself."""

from __future__ import annotations

from deltalake.transaction import AddAction, RemoveAction

from timestore_pipeline import clock
from timestore_pipeline.model.lake import ExportedFile, PartitionKey


def add_action(file: ExportedFile, *, changes_data: bool) -> AddAction:
    """changes_data: False = its rows were in the table before, in other files."""
    return AddAction(file.path, file.bytes, _values(file.partition), _now_millis(), changes_data, file.stats)


def remove_action(path: str, size: int, partition: PartitionKey) -> RemoveAction:
    """Of a file whose rows stay in the table, in another one. size: bytes."""
    return RemoveAction(path, False, _now_millis(), size, _values(partition))


def _values(partition: PartitionKey) -> dict[str, str | None]:
    return {} if partition.column is None else {partition.column: partition.value}


def _now_millis() -> int:
    return clock.to_micros(clock.now()) // 1000
