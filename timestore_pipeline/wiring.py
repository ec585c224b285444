"""The composition root: the one place that turns settings into a staging area, a lake and a flush pipeline.

The lake's modules and DuckDB are imported inside the functions that use them: reading the queue's state needs neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from timestore_pipeline.errors import InvalidMetadata
from timestore_pipeline.flush.dataset_status import DatasetStatus, pressure_on, settings_in_force
from timestore_pipeline.flush.decide import FlushLimits, decide_flush
from timestore_pipeline.lake.place import state
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.model.flush import Backlog, Flush, Trigger
from timestore_pipeline.model.thresholds import FlushSettings
from timestore_pipeline.settings import LEAST_MEMORY_MB, Settings, storage_options
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.system import clock
from timestore_pipeline.system.context_managers import Closing

if TYPE_CHECKING:
    from timestore_pipeline.flush.export import ExportOptions
    from timestore_pipeline.flush.pipeline import FlushPipeline
    from timestore_pipeline.ingest.manager import StagingManager
    from timestore_pipeline.lake.table import Lake
    from timestore_pipeline.maintain.dataset_maintenance import MaintainOptions
    from timestore_pipeline.query.statement import QueryAnswer
    from timestore_pipeline.recovery.ledger_rebuild import Rebuilt
    from timestore_pipeline.recovery.reconciliation import Reconciliation


def rebuild_if_lost(settings: Settings) -> Rebuilt | None:
    """Rebuild a lost or damaged ledger; None when it is sound. Call it before the staging directory is opened."""
    from timestore_pipeline.recovery.ledger_rebuild import rebuild_if_lost as rebuild_ledger

    directory = StagingDirectory(settings.staging_directory)
    return rebuild_ledger(directory, settings.shard, _lake(settings, directory))


def reconcile_restored(settings: Settings, *, replace_shard: bool = False) -> Reconciliation:
    """Enter what a ledger restored from a backup lacks. Call it before the staging directory is opened."""
    from timestore_pipeline.recovery.ledger_rebuild import reconcile_restored as reconcile_ledger

    directory = StagingDirectory(settings.staging_directory)
    return reconcile_ledger(directory, settings.shard, _lake(settings, directory), replace_shard=replace_shard)


def read_published(settings: Settings, sql: str) -> AbstractContextManager[QueryAnswer]:
    """SQL over published rows alone; the staging directory need not exist. Raises as `Timestore.query` does."""
    from timestore_pipeline.query.statement import query_published

    return query_published(_lake(settings), sql, memory_mb=settings.export_memory_mb)


class FlushRequestResult(StrEnum):
    """The result of a request for a manual flush."""

    REQUESTED = "requested"
    IN_FLIGHT = "in_flight"  # every staged batch is in flight already
    NOTHING_STAGED = "nothing_staged"


class Timestore(Closing):
    """Everything that works on one staging directory and one lake; open it once per process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.area = StagingArea(
            settings.staging_directory, settings.shard, segment_max_bytes=settings.staging_segment_max_bytes
        )

    @cached_property
    def lake(self) -> Lake:
        return _lake(self.settings, self.area.directory)

    @cached_property
    def pipeline(self) -> FlushPipeline:
        from timestore_pipeline.flush.pipeline import FlushPipeline

        return FlushPipeline(
            self.area,
            self.lake,
            most_bytes=lambda dataset: self.claim_bytes(self.flush_settings(dataset)),
            retention=self.settings.idempotency_retention,
            configuration=self._configuration,
        )

    def staging(self) -> StagingManager:
        """A manager for producers in this process, with a staging area of its own; close it."""
        from timestore_pipeline.ingest.manager import StagingManager

        return StagingManager.open(self.settings)

    def statuses(self) -> list[DatasetStatus]:
        """Every dataset, in name order."""
        return self._decided(self.area.backlogs(), self.area.ledger.datasets.all_metadata())

    def waiting(self) -> list[DatasetStatus]:
        """Datasets with pending or in-flight batches, in name order: the candidates for a flush."""
        waiting = self.area.waiting()
        return self._decided(waiting, self.area.ledger.datasets.all_metadata() if waiting else {})

    def status(self, dataset: str) -> DatasetStatus:
        """One dataset; raises `UnknownDataset`."""
        known = {dataset: self.area.ledger.datasets.metadata(dataset)}
        return self._decided([self.area.backlog(dataset)], known)[0]

    @property
    def default_flush_settings(self) -> FlushSettings:
        """Those of a dataset whose metadata set none."""
        return FlushSettings(self.settings.thresholds)

    def flush_settings(self, dataset: str) -> FlushSettings:
        """How the dataset is flushed and written as of now; raises `UnknownDataset`.

        The defaults if its metadata cannot be read: the claim refuses them, and blocks the dataset.
        """
        with suppress(InvalidMetadata):
            return self._in_force({dataset: self.area.ledger.datasets.metadata(dataset)})[dataset]
        return self.default_flush_settings

    def all_flush_settings(self) -> dict[str, FlushSettings]:
        """The same for every dataset that the ledger knows, removed ones too."""
        return self._in_force(self.area.ledger.datasets.all_metadata())

    def flush(self, dataset: str, trigger: Trigger, run_id: str) -> Flush | None:
        """Flush one dataset in this process; None when there was nothing to flush. Raises `UnknownDataset`."""
        settings = self.flush_settings(dataset)
        return self.pipeline.run(dataset, trigger, run_id, self.export_options(settings), settings)

    def query(self, sql: str) -> AbstractContextManager[QueryAnswer]:
        """SQL over datasets as views: published and staged rows, each exactly once.

        Batches acknowledged before the call are included; `QueryAnswer.notes` names the exceptions. Raises
        `InvalidQuery`, `RetryLater`, `UnreadableSegment` for a damaged segment, and the errors of ledger and lake; so
        does reading the rows.
        """
        from timestore_pipeline.query.statement import query

        return query(self.area, self.lake, sql, memory_mb=self.settings.export_memory_mb)

    def export_options(self, flush: FlushSettings | None = None, sharers: int = 1) -> ExportOptions:
        """flush: None = the defaults. sharers: concurrent exports, which divide the memory."""
        from timestore_pipeline.flush.export import ExportOptions

        flush, memory_mb = flush or self.default_flush_settings, self.settings.export_memory_mb // sharers
        return ExportOptions(flush.parquet, max(memory_mb, LEAST_MEMORY_MB), flush.sort_by)

    def claim_bytes(self, flush: FlushSettings) -> int:
        """Bytes of one claim: as many as an export can sort, or more where the threshold asks for larger flushes.

        Half as much again as the threshold, so that batches which arrive after it was reached go into the same file.
        """
        return max(self.export_options().sortable_bytes, flush.thresholds.max_bytes * 3 // 2)

    def maintain_options(
        self,
        *,
        target_bytes: int | None = None,
        min_files: int | None = None,
        retention: timedelta | None = None,
        dry_run: bool = False,
    ) -> MaintainOptions:
        """How datasets are maintained; None = the value of the settings."""
        from timestore_pipeline.maintain.dataset_maintenance import MaintainOptions

        settings = self.settings
        return MaintainOptions(
            target_bytes=target_bytes or settings.maintain_target_file_bytes,
            min_files=min_files or settings.maintain_min_files,
            retention=timedelta(days=settings.maintain_retention_days) if retention is None else retention,
            log_retention=timedelta(days=settings.maintain_log_retention_days),
            key_retention=settings.idempotency_retention,
            export=self.export_options(),
            dry_run=dry_run,
        )

    def set_metadata(self, dataset: str, document: str | Mapping[str, Any]) -> DatasetRecord:
        """Replace a dataset's metadata.

        Raises `InvalidMetadata`, also for limits that contradict each other, and `SchemaConflict` for a declared type
        that contradicts published columns or staged values.
        """
        from timestore_pipeline.ingest.metadata import checked_metadata

        metadata = checked_metadata(self.settings, dataset, document)
        return self.area.ledger.datasets.set_metadata(dataset, metadata)

    def request_flush(self, dataset: str) -> FlushRequestResult:
        """Ask the sensor for a flush; raises `UnknownDataset`.

        Without pending batches no request is made: it would flush the next batch as soon as that arrives.
        """
        backlog = self.area.backlog(dataset)
        if backlog.pending.batches:
            self.area.ledger.datasets.request_flush(dataset)
            return FlushRequestResult.REQUESTED
        return FlushRequestResult.IN_FLIGHT if backlog.in_flight.batches else FlushRequestResult.NOTHING_STAGED

    def close(self) -> None:
        self.area.close()

    def _decided(self, backlogs: Sequence[Backlog], known: Mapping[str, DatasetMetadata]) -> list[DatasetStatus]:
        metadata = {backlog.dataset: known[backlog.dataset] for backlog in backlogs}
        settings, pressure = self._in_force(metadata), pressure_on(self.area, self.settings.guardrails)
        return [self._status(metadata[b.dataset], settings[b.dataset], b, pressure) for b in backlogs]

    def _in_force(self, metadata: Mapping[str, DatasetMetadata]) -> dict[str, FlushSettings]:
        return settings_in_force(self.area.ledger.datasets, self.default_flush_settings, metadata)

    def _status(
        self, metadata: DatasetMetadata, settings: FlushSettings, backlog: Backlog, pressure: str
    ) -> DatasetStatus:
        limits = FlushLimits(
            settings.thresholds,
            self.settings.staging_max_dataset_bytes,
            pressure,
            metadata.waits_for_time,
            self._configuration(backlog.dataset) if backlog.block else "",
        )
        return DatasetStatus(backlog, settings, decide_flush(backlog, limits, clock.now()))

    def _configuration(self, dataset: str) -> str:
        """A digest of what a block waits for to change; it does not reveal it, because it contains credentials."""
        place, memory_mb = state(self.settings.lake_folder, dataset), self.settings.export_memory_mb
        configuration = (self.settings.lake_uri, storage_options(), memory_mb, place)
        return hashlib.sha256(repr(configuration).encode()).hexdigest()[:8]


def _lake(settings: Settings, directory: StagingDirectory | None = None) -> Lake:
    """directory: its spool holds files until they are uploaded to a bucket."""
    from timestore_pipeline.lake.table import Lake

    return Lake(settings.lake_uri, storage_options(), spool=None if directory is None else directory.spool)
