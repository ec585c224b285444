"""The composition root: the one place that turns settings into a staging area, a lake and a flush pipeline.

The lake's modules and DuckDB are imported inside the functions that use them: reading the queue's state needs neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from timestore_pipeline import clock
from timestore_pipeline.flush.decide import FlushDecision, FlushLimits, decide_flush
from timestore_pipeline.lake.place import state
from timestore_pipeline.model.backlog import Backlog
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.model.flush import Flush, Trigger
from timestore_pipeline.model.limits import FlushThresholds
from timestore_pipeline.settings import LEAST_MEMORY_MB, Settings, storage_options
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger.datasets import DatasetRecord
from timestore_pipeline.system.context_managers import Closing

if TYPE_CHECKING:
    from timestore_pipeline.flush.export import ExportOptions
    from timestore_pipeline.flush.pipeline import FlushPipeline
    from timestore_pipeline.ingest.manager import StagingManager
    from timestore_pipeline.lake.parquet import ParquetOptions
    from timestore_pipeline.lake.table import Lake
    from timestore_pipeline.maintain.run import MaintainOptions
    from timestore_pipeline.query.query import Answer
    from timestore_pipeline.recovery.rebuild.ledger import Rebuilt
    from timestore_pipeline.recovery.rebuild.reconciliation import Reconciliation


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """A dataset as an operator sees it: its backlog, the thresholds in force, and the decision that follows."""

    backlog: Backlog
    thresholds: FlushThresholds
    decision: FlushDecision


def rebuild_if_lost(settings: Settings) -> Rebuilt | None:
    """Rebuild a lost or damaged ledger; None when it is sound. Call it before the staging directory is opened."""
    from timestore_pipeline.recovery.rebuild.ledger import rebuild_if_lost as rebuild_ledger

    directory = StagingDirectory(settings.staging_directory)
    return rebuild_ledger(directory, settings.shard, _lake(settings, directory))


def reconcile_restored(settings: Settings, *, replace_shard: bool = False) -> Reconciliation:
    """Enter what a ledger restored from a backup lacks. Call it before the staging directory is opened."""
    from timestore_pipeline.recovery.rebuild.restored import reconcile_restored as reconcile_ledger

    directory = StagingDirectory(settings.staging_directory)
    return reconcile_ledger(directory, settings.shard, _lake(settings, directory), replace_shard=replace_shard)


def read_published(settings: Settings, sql: str) -> AbstractContextManager[Answer]:
    """SQL over published rows alone; the staging directory need not exist. Raises as `Timestore.query` does."""
    from timestore_pipeline.query.query import query_published

    return query_published(_lake(settings), sql, memory_mb=settings.export_memory_mb)


class FlushRequest(StrEnum):
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
            most_bytes=self._most_bytes,
            retention=self.settings.idempotency_retention,
            configuration=self._configuration,
        )

    def staging(self) -> StagingManager:
        """A manager for producers in this process, with a staging area of its own; close it."""
        from timestore_pipeline.ingest.manager import StagingManager

        return StagingManager.open(self.settings)

    def statuses(self) -> list[DatasetStatus]:
        """Every dataset, in name order."""
        return self._statuses(self.area.backlogs())

    def waiting(self) -> list[DatasetStatus]:
        """Datasets with pending or in-flight batches, in name order: the candidates for a flush."""
        return self._statuses(self.area.waiting())

    def status(self, dataset: str) -> DatasetStatus:
        """One dataset; raises `UnknownDataset`."""
        metadata = self.area.ledger.datasets.metadata(dataset)
        return self._status(metadata, self.area.backlog(dataset), self._pressure())

    def thresholds(self, metadata: DatasetMetadata) -> FlushThresholds:
        """The thresholds in force for a dataset."""
        return self.settings.thresholds.overridden(metadata.staging.flush)

    def flush(self, dataset: str, trigger: Trigger, run_id: str) -> Flush | None:
        """Flush one dataset in this process; None when there was nothing to flush."""
        return self.pipeline.run(dataset, trigger, run_id, self.export_options())

    def query(self, sql: str) -> AbstractContextManager[Answer]:
        """SQL over datasets as views: published and staged rows, each exactly once.

        Batches acknowledged before the call are included; `Answer.notes` names the exceptions. Raises `InvalidQuery`,
        `RetryLater`, `UnreadableSegment` for a damaged segment, and the errors of ledger and lake; so does reading the
        rows.
        """
        from timestore_pipeline.query.query import query

        return query(self.area, self.lake, sql, memory_mb=self.settings.export_memory_mb)

    def export_options(self, parquet: ParquetOptions | None = None, sharers: int = 1) -> ExportOptions:
        """sharers: concurrent exports, which divide the memory; each gets at least `LEAST_MEMORY_MB`."""
        from timestore_pipeline.flush.export import ExportOptions
        from timestore_pipeline.lake.parquet import ParquetOptions

        return ExportOptions(
            parquet or ParquetOptions(), max(self.settings.export_memory_mb // sharers, LEAST_MEMORY_MB)
        )

    def maintain_options(
        self,
        *,
        target_bytes: int | None = None,
        min_files: int | None = None,
        retention: timedelta | None = None,
        dry_run: bool = False,
    ) -> MaintainOptions:
        """How datasets are maintained; None = the value of the settings."""
        from timestore_pipeline.maintain.run import MaintainOptions

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

    def request_flush(self, dataset: str) -> FlushRequest:
        """Ask the sensor for a flush; raises `UnknownDataset`.

        Without pending batches no request is made: it would flush the next batch as soon as that arrives.
        """
        backlog = self.area.backlog(dataset)
        if backlog.pending.batches:
            self.area.ledger.datasets.request_flush(dataset)
            return FlushRequest.REQUESTED
        return FlushRequest.IN_FLIGHT if backlog.in_flight.batches else FlushRequest.NOTHING_STAGED

    def close(self) -> None:
        self.area.close()

    def _most_bytes(self, dataset: str) -> int:
        """Bytes of one claim: as many as an export can sort, or more where the threshold asks for larger flushes.

        Half as much again as the threshold, so that batches which arrive after it was reached go into the same file.
        """
        wanted = self.thresholds(self.area.ledger.datasets.metadata(dataset)).max_bytes
        return max(self.export_options().sortable_bytes, wanted * 3 // 2)

    def _statuses(self, backlogs: Sequence[Backlog]) -> list[DatasetStatus]:
        metadata = self.area.ledger.datasets.all_metadata() if backlogs else {}
        pressure = self._pressure()
        return [self._status(metadata[backlog.dataset], backlog, pressure) for backlog in backlogs]

    def _status(self, metadata: DatasetMetadata, backlog: Backlog, pressure: str) -> DatasetStatus:
        thresholds = self.thresholds(metadata)
        limits = FlushLimits(
            thresholds,
            self.settings.staging_max_dataset_bytes,
            pressure,
            metadata.waits_for_time,
            self._configuration(backlog.dataset) if backlog.block else "",
        )
        return DatasetStatus(backlog, thresholds, decide_flush(backlog, limits, clock.now()))

    def _configuration(self, dataset: str) -> str:
        """A digest of what a block waits for to change."""
        settings = self.settings
        place = state(settings.lake_folder, dataset)
        return _digest(settings.lake_uri, storage_options(), settings.export_memory_mb, place)

    def _pressure(self) -> str:
        guardrails = self.settings.guardrails
        if guardrails.total_bytes and self.area.total_bytes() >= guardrails.total_bytes:
            return "the staging directory is over its total guardrail"
        if self.area.directory.volume().lacks(guardrails.free_bytes) > 0:
            return "the staging directory's disk has less free than TIMESTORE_STAGING_MIN_FREE_BYTES"
        return ""


def _lake(settings: Settings, directory: StagingDirectory | None = None) -> Lake:
    """directory: its spool holds files until they are uploaded to a bucket."""
    from timestore_pipeline.lake.table import Lake

    return Lake(settings.lake_uri, storage_options(), spool=None if directory is None else directory.spool)


def _digest(*configuration: object) -> str:
    """Changes when the configuration changes, and does not reveal it: it contains credentials."""
    return hashlib.sha256(repr(configuration).encode()).hexdigest()[:8]
