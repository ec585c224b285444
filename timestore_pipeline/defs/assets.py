"""Every known dataset as an asset, so that its flushes have a page with lineage and plots.

Read from the ledger when the definitions are loaded; a dataset that is new since then shows its flushes at once and the
rest after the next reload.
"""

import logging

import dagster as dg

from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.datasets import DatasetRecord

_log = logging.getLogger(__name__)


def dataset_assets(settings: Settings) -> list[dg.AssetSpec]:
    """One spec per dataset in the ledger; none when there is no ledger yet, and none is made.

    A ledger that cannot be read is logged only: the sensor says so on every tick, and could not if loading failed.
    """
    path = StagingDirectory(settings.staging_directory).ledger
    if not path.exists():
        return []
    try:
        ledger = Ledger(path, settings.shard)
        try:
            return [_spec(record, settings) for record in ledger.datasets.active()]
        finally:
            ledger.close()
    except TimestoreError as error:
        _log.warning("the datasets are not shown as assets: %s", error)
        return []


def _spec(record: DatasetRecord, settings: Settings) -> dg.AssetSpec:
    return dg.AssetSpec(
        asset_key(record.name),
        description=record.metadata.description or f"Rows staged as {record.name!r}, published by flushes.",
        kinds={"parquet", "deltalake"},
        group_name="timestore",
        metadata={"table_uri": dg.MetadataValue.path(f"{settings.lake_uri.rstrip('/')}/{record.name}")},
    )
