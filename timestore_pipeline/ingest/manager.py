"""`StagingManager`: the entry point for producers in Python.

    with StagingManager.open(Settings.from_env()) as staging:
        receipt = staging.enqueue("weather", table, idempotency_key="2013-01-01T05/JFK")

A receipt means durable: it survives `kill -9` and power loss, and its rows are published exactly once. An error means
not staged: sending again with the same idempotency key is safe.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from datetime import timedelta
from functools import partial
from typing import Any, Self

from timestore_pipeline.errors import DiskFull, InvalidInput, InvalidSettings, ManagerClosed, QueueFull, TimestoreError
from timestore_pipeline.ingest.admission import Admission, Tally
from timestore_pipeline.ingest.catalog import DatasetCatalog
from timestore_pipeline.ingest.exportable import most_fields
from timestore_pipeline.ingest.formats.reading import Reading
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.metadata import checked_metadata
from timestore_pipeline.ingest.normalize import read_arrow
from timestore_pipeline.ingest.queue import QueuedBatch, nothing_staged
from timestore_pipeline.ingest.threads import BatchWriter, Housekeeper, Reporter, Roller
from timestore_pipeline.model.batch import Receipt, check_idempotency_key, check_max_wait
from timestore_pipeline.monitoring.telemetry.logs import warn_of_unknown_variables
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.system.context_managers import Closing


class StagingManager(Closing):
    """Stages batches for any number of datasets. Thread-safe; not usable across a fork.

    A receipt means that the batch is durable. An error means that it is not staged: sending it again under the same
    idempotency key is safe. `with` closes the manager.
    """

    def __init__(self, area: StagingArea, settings: Settings) -> None:
        self._area = area
        self._settings = settings
        self._pid = os.getpid()
        self._catalog = DatasetCatalog(area.ledger, most_fields(settings.one_export_mb), settings.datasets)
        self._tally = Tally(area.ledger.counters)
        self._admission = Admission(area, settings.guardrails, self._tally)
        self._lock = threading.Lock()
        self._closed = False
        self._roller = Roller(area)
        self._writer = BatchWriter(
            GroupCommit(area, self._catalog.refit, self._roller.add), settings.staging_max_pending
        )
        self._housekeeper = Housekeeper(area, self._tally, self._catalog.refresh)
        self._reporter = Reporter(area, settings)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the staging directory, and create it if it is missing.

        Args:
            settings: Where it is, and its limits.

        Raises:
            InvalidSettings: The directory's limit is larger than its disk.
            LedgerMismatch: Its ledger has another format, or belongs to another shard.
            Corrupted: Its ledger is damaged or lost.
            AccessDenied: The system refuses to read or write it.
        """
        warn_of_unknown_variables()
        area = StagingArea(
            settings.staging_directory, settings.shard, segment_max_bytes=settings.staging_segment_max_bytes
        )
        try:
            _check_disk(area, settings.staging_max_total_bytes)
            return cls(area, settings)
        except BaseException:
            area.close()
            raise

    def enqueue(
        self, dataset: str, data: object, *, idempotency_key: str | None = None, max_wait: timedelta = timedelta(0)
    ) -> Receipt:
        """Stage a batch and wait until it is durable: `submit(…).result()`, with its arguments and errors."""
        return self.submit(dataset, data, idempotency_key=idempotency_key, max_wait=max_wait).result()

    def submit(
        self, dataset: str, data: object, *, idempotency_key: str | None = None, max_wait: timedelta = timedelta(0)
    ) -> Future[Receipt]:
        """Validate a batch and queue it; the future resolves when it is durable.

        Callbacks of the future run on the writer's thread: a callback that waits for another receipt, or closes the
        manager, never returns.

        Args:
            dataset: Its name, `[a-z0-9][a-z0-9._-]{0,119}`; the first batch creates it.
            data: Anything with the Arrow PyCapsule interface (pyarrow, Polars, pandas, DuckDB) or an iterable of dicts,
                one a row. Do not change it before the future resolves.
            idempotency_key: Names the batch, 1 to 512 characters; the same key again is answered with the first
                receipt, `duplicate=True`. None = two calls with the same rows stage two batches.
            max_wait: How long to wait for room in the queue; zero = not at all.

        Returns:
            The receipt. Columns without rows and without a type, for a dataset that has no columns yet, get a receipt
                without a `batch_id`: there is nothing to stage.

        Raises: raised at once, or by the future
            QueueFull: The dataset's queue in memory was full for `max_wait`.
            GuardrailExceeded: The staging directory has reached its limit of bytes.
            DiskFull: The disk is full.
            InvalidData: A value or a type that cannot be stored exactly; names column and row.
            SchemaConflict: A column has another type than before.
            IdempotencyConflict: The key names a batch with another number of rows.
            InvalidInput: A malformed name, key or wait.
        """
        self._check_usable()
        check_max_wait(max_wait)
        if idempotency_key is not None:
            check_idempotency_key(idempotency_key)
        source = read_arrow(data)
        if self._catalog.is_nothing(dataset, source):
            return nothing_staged(dataset)
        try:
            fitted = self._catalog.fit(dataset, source)
            size = int(fitted.rows.nbytes)
            self._admission.admit(dataset, size)
        except TimestoreError:
            self._check_open()  # a call that `close` overtakes meets a closed ledger, and says so
            raise
        batch = QueuedBatch(fitted, source, idempotency_key, size)
        batch.receipt.add_done_callback(partial(self._settle, dataset, size))
        try:
            return self._writer.put(batch, max_wait)
        except BaseException as error:
            batch.receipt.cancel()
            if isinstance(error, QueueFull):
                self._tally.dropped(dataset, "queue_full")
            raise

    def reading(self, dataset: str) -> Reading:
        """The dataset as it is now, for reading text that will be staged into it."""
        self._check_usable()
        return self._catalog.reading(dataset)

    def record(self, dataset: str) -> DatasetRecord | None:
        """The dataset as the ledger has it now; None = nothing was ever staged or declared for it."""
        self._check_usable()
        return self._area.ledger.datasets.find(dataset)

    def set_metadata(self, dataset: str, document: str | Mapping[str, Any]) -> None:
        """Replace the dataset's metadata, before its first batch or later, as `timestore datasets set --replace` does.

        Args:
            dataset: Its name; the dataset is created if it does not exist.
            document: The metadata as a mapping or as JSON, such as `{"schema": {"columns": {"wind": "double"}}}`.

        Raises:
            InvalidMetadata: An unknown key, a wrong type, or limits that contradict each other.
            SchemaConflict: A declared type contradicts a published column or staged values.
        """
        self._check_usable()
        self._area.ledger.datasets.set_metadata(dataset, checked_metadata(self._settings, dataset, document))
        self._catalog.refresh()

    def check(self, dataset: str, data: object) -> None:
        """Raise what `submit` would raise about the data themselves; nothing is staged or written.

        For a source of several batches that must be staged completely or not at all: check all of them first.

        Raises:
            InvalidData: As `submit`.
            SchemaConflict: As `submit`.
        """
        self._check_usable()
        table = read_arrow(data)
        if self._catalog.is_nothing(dataset, table):
            return
        self._catalog.check(dataset, table)

    def close(self) -> None:
        """Stage the queued batches, close the journal and release the directory. Idempotent."""
        if os.getpid() != self._pid:
            return  # a forked child: the journal is its parent's
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._roller.stop()  # before the last journal is closed, which may be large: rolling it up is a flush's work
        self._writer.close()
        self._housekeeper.stop()
        self._reporter.stop()
        self._area.close()

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise InvalidInput(
                "this staging manager was opened in another process",
                hint="open one in each process, after the fork, or start workers with the 'spawn' method",
            )
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise ManagerClosed("the staging manager is closed", hint="open a new one")

    def _settle(self, dataset: str, size: int, receipt: Future[Receipt]) -> None:
        error = CancelledError() if receipt.cancelled() else receipt.exception()
        self._admission.settle(dataset, size, written=error is None and not receipt.result().duplicate)
        if isinstance(error, DiskFull):
            self._tally.dropped(dataset, "disk_full")


def _check_disk(area: StagingArea, total_bytes: int) -> None:
    """The ladder's last step: a guardrail that the disk cannot reach has no effect."""
    if misfit := area.directory.volume().misfit(total_bytes):
        raise InvalidSettings([misfit])
