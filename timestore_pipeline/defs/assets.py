"""Every known dataset as an asset: its columns, its location, sample queries, and its partitions.

Read from the ledger when the definitions are loaded; `watch` notices what is new or changed, and asks for a reload.
Upstream of a dataset are its folder in the landing folder, if it has one, and the assets that its metadata names. The
ledger does not record which program produced a batch, and a guessed arrow would mislead.
"""

import logging
from collections.abc import Collection
from datetime import datetime

import dagster as dg
import pyarrow as pa
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetNode

from timestore_pipeline.defs.events import asset_key, landing_key
from timestore_pipeline.defs.partitions import covers, partitions_of
from timestore_pipeline.defs.sensor import staging_flush_sensor
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.declared import type_text
from timestore_pipeline.model.sql_types import quote
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger.dataset_catalog import CatalogEntry, read_catalog
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord

_COLUMNS = "dagster/column_schema"

_log = logging.getLogger(__name__)


def known_datasets(settings: Settings) -> list[CatalogEntry]:
    """The datasets in the ledger; none when there is no ledger yet. Does not create a ledger.

    An unreadable ledger is only logged here: the sensor reports it at every tick, which it could not if loading failed.
    """
    try:
        return read_catalog(StagingDirectory(settings.staging_directory).ledger)
    except (TimestoreError, OSError) as error:
        _log.warning("the datasets are not shown as assets: %s", error)
        return []


def landed_datasets(settings: Settings) -> list[str]:
    """Datasets with files in the landing folder; none when it cannot be listed: the sensor reports why."""
    if settings.landing_directory is None:
        return []
    try:
        folder = LandingFolder.of(settings)
        return sorted({*folder.datasets(), *folder.put_away()})
    except TimestoreError as error:
        _log.warning("the landing folder is not shown: %s", error)
        return []


def landing_asset(dataset: str, settings: Settings) -> dg.AssetSpec:
    """The folder from which a dataset's files are taken."""
    return dg.AssetSpec(
        landing_key(dataset),
        description=f"Files dropped for the dataset {dataset!r}, staged by ingest_files.",
        kinds={"file"},
        group_name="landing",
        metadata={"folder": dg.MetadataValue.path(f"{settings.landing_directory}/{dataset}")},
    )


def dataset_asset(entry: CatalogEntry, settings: Settings, now: datetime, landed: Collection[str] = ()) -> dg.AssetSpec:
    """The asset of one dataset; landed: the datasets with a landing folder."""
    record = entry.record
    return dg.AssetSpec(
        asset_key(record.name),
        skippable=True,  # nothing staged, nothing materialized
        deps=_upstream(record, landed),
        description=_description(record, settings),
        owners=list(record.metadata.owners),
        kinds={"parquet", "deltalake"},
        group_name="timestore",
        partitions_def=partitions_of(entry, now),
        metadata=_location(entry, f"{settings.lake_uri.rstrip('/')}/{record.name}") | _columns(record.schema),
    )


def is_current(shown: BaseAssetNode, entry: CatalogEntry, settings: Settings, now: datetime) -> bool:
    """Whether the loaded asset says what `dataset_asset` would say now; False = a reload would change its page.

    Compared by value, without making the asset again: that takes a tenth of the time, at every tick, for each dataset.
    """
    record = entry.record
    columns, landing = shown.metadata.get(_COLUMNS), landing_key(record.name)
    return (
        covers(shown.partitions_def, entry, now)
        and shown.description == _description(record, settings)
        and list(shown.owners) == list(record.metadata.owners)
        and shown.parent_keys - {landing} == {*_upstream(record, ())} - {landing}
        and ([] if columns is None else [(column.name, column.type) for column in columns.schema.columns])
        == [(field.name, type_text(field.type)) for field in record.schema or ()]
    )


def _description(record: DatasetRecord, settings: Settings) -> str:
    """What it is, and when it is flushed: Dagster shows no automation for it, as the sensor launches a job."""
    said = record.metadata.description or f"Rows staged as {record.name!r}."
    limits = settings.thresholds.overridden(record.metadata.staging.flush)
    age = f"{limits.max_age.total_seconds():g} s of age"
    amounts = [(limits.max_rows, f"{limits.max_rows:,} rows"), (limits.max_bytes, f"{limits.max_bytes:,} bytes")]
    reached = " or ".join(text for limit, text in [*amounts, (limits.max_age, age)] if limit) or "any row"
    return (
        f"{said}\n\n{staging_flush_sensor.name} flushes it at {reached};"
        f" `timestore explain {record.name}` says when the next flush comes, and why."
    )


def _upstream(record: DatasetRecord, landed: Collection[str]) -> list[dg.AssetKey]:
    folder = [landing_key(record.name)] if record.name in landed else []
    return [*folder, *(dg.AssetKey(key.split("/")) for key in record.metadata.upstream)]


def _location(entry: CatalogEntry, uri: str) -> dict[str, dg.MetadataValue]:
    record = entry.record
    return {
        "table_uri": dg.MetadataValue.path(uri),
        "dagster/uri": dg.MetadataValue.text(uri),
        "sample_query_duckdb": dg.MetadataValue.md(_duckdb(uri, record.time_column)),
        "sample_query_polars": dg.MetadataValue.md(_polars(uri, record.time_column)),
        "time_column": dg.MetadataValue.text(record.time_column or "none"),
    }


def _columns(schema: pa.Schema | None) -> dict[str, dg.MetadataValue]:
    """The table's columns, their types as they would be declared; nothing before the first batch."""
    if schema is None:
        return {}
    columns = [dg.TableColumn(field.name, type_text(field.type)) for field in schema]
    return {_COLUMNS: dg.MetadataValue.table_schema(dg.TableSchema(columns=columns))}


def _duckdb(uri: str, time_column: str | None) -> str:
    latest = "" if time_column is None else f"\nORDER BY {quote(time_column)} DESC"
    return f"```sql\nINSTALL delta; LOAD delta;\nSELECT *\nFROM delta_scan('{uri}'){latest}\nLIMIT 10;\n```"


def _polars(uri: str, time_column: str | None) -> str:
    latest = "" if time_column is None else f".sort({time_column!r}, descending=True)"
    return f'```python\nimport polars as pl\n\npl.scan_delta("{uri}"){latest}.head(10).collect()\n```'
