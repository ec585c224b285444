"""A dataset as the ledger knows it, read from its row in `datasets`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from timestore_pipeline.errors import InvalidMetadata
from timestore_pipeline.model.dataset import DatasetMetadata, Granularity
from timestore_pipeline.staging.ledger.database import Row, instant_or_none
from timestore_pipeline.system import clock

if TYPE_CHECKING:  # imported with the first schema: a backlog is read without
    import pyarrow as pa

NO_METADATA = DatasetMetadata()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A dataset as the ledger knows it. `schema` is None until its first batch."""

    dataset_id: int
    name: str
    metadata: DatasetMetadata
    schema: pa.Schema | None
    schema_version: int  # grows with every change of `schema`
    time_column: str | None  # None = the layout is open, or there is no such column
    granularity: Granularity | None  # None = the layout is open: no row has had a time yet
    paused: bool
    last_epoch: int  # newest one taken; 0 = never flushed
    created_at: datetime
    removed_at: datetime | None = None  # None = in use


@dataclass(frozen=True, slots=True)
class Layout:
    """What the first flush fixes for ever: a Delta table cannot change its partition columns."""

    time_column: str | None
    granularity: Granularity


def readable_metadata(row: Row) -> DatasetMetadata:
    """A row's metadata, or the defaults."""
    try:
        return metadata_of(row)
    except InvalidMetadata as error:
        _log.warning("the defaults hold instead: %s", error)
        return NO_METADATA


def metadata_of(row: Row) -> DatasetMetadata:
    try:
        return DatasetMetadata.parse(row["metadata"])
    except InvalidMetadata as error:
        name = row["name"]
        raise InvalidMetadata(
            f"the metadata of dataset {name!r} in the ledger cannot be read: {error}",
            dataset=name,
            hint=f"`timestore datasets set {name}` replaces it; a newer release may have written it",
        ) from error


def _granularity(row: Row) -> Granularity | None:
    try:
        return None if row["granularity"] is None else Granularity(row["granularity"])
    except ValueError as error:
        hint = "the ledger was written by a newer release: use that one"
        raise InvalidMetadata(f"dataset {row['name']!r}: {error}", dataset=row["name"], hint=hint) from error


def _schema(text: str) -> pa.Schema:
    from timestore_pipeline.model.schema_json import schema_from_json

    return schema_from_json(text)


def record_of(row: Row, metadata: DatasetMetadata | None = None) -> DatasetRecord:
    """A row of the table; raise `InvalidMetadata` or `Corrupted` when it cannot be read.

    metadata: None = the row's.
    """
    return DatasetRecord(
        dataset_id=row["dataset_id"],
        name=row["name"],
        metadata=metadata or metadata_of(row),
        schema=None if row["schema"] is None else _schema(row["schema"]),
        schema_version=row["schema_version"],
        time_column=row["time_column"],
        granularity=_granularity(row),
        paused=bool(row["paused"]),
        last_epoch=row["last_epoch"],
        created_at=clock.from_micros(row["created_at"]),
        removed_at=instant_or_none(row["removed_at"]),
    )
