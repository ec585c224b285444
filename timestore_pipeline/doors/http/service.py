"""The work behind the routes, without HTTP: receives, parses and stages bodies, and answers questions about datasets.

A batch is staged as a whole or not at all: until `submit` gets the complete, checked table, its rows are only in the
spool, which is not read after a crash.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from timestore_pipeline.doors.documents import dataset_document, status_document
from timestore_pipeline.doors.http.body import Body, BodyReader, Spool
from timestore_pipeline.doors.http.body_reading import Parsed
from timestore_pipeline.doors.http.capacity import BlockingCalls, Reservation, Shares
from timestore_pipeline.doors.http.formats import BodyFormat
from timestore_pipeline.doors.http.lanes import Lanes
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.errors import InvalidMetadata, UnsupportedType
from timestore_pipeline.ingest.decided import Decided
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.values.notes import Note, explaining
from timestore_pipeline.model.batch import Receipt
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.wiring import FlushRequestResult, Timestore


@dataclass(frozen=True, slots=True)
class Batch:
    """The head of a request that stages a batch."""

    peer: str  # the client's address
    dataset: str
    format: BodyFormat
    encoding: str
    idempotency_key: str | None
    csv: Mapping[str, Any] = field(default_factory=dict)  # the dialect of a CSV body


@dataclass(frozen=True, slots=True)
class Staged:
    """The answer to a staged batch."""

    receipt: Receipt
    decided: Decided


class Service:
    """One server's work; created and used in its event loop."""

    def __init__(self, store: Timestore, staging: StagingManager, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self._staging = staging
        self._slots = Shares(limits.batches, limits.batches_of_one, "batches")
        self._lanes = Lanes(limits)
        self._spool_calls = BlockingCalls(4, 2 * limits.connections, "spool calls")
        self._batch_calls = BlockingCalls(2, limits.batches, "batches")
        self._questions = Shares(limits.questions, limits.questions_of_one, "questions")
        self._calls = BlockingCalls(4, limits.questions, "questions")
        self.probe_calls = BlockingCalls(1, 8, "probes")
        self._with_columns = set[str]()  # datasets that have columns already: no later batch is their first
        self._folder = store.area.directory.spool / f"http-{store.area.identity.process_id}"
        self._spool = Spool(self._folder, limits, self._spool_calls)

    async def start(self) -> None:
        await self._calls.run(self._prepare_folder)
        self._lanes.start()

    async def close(self) -> None:
        """After the last request."""
        self._lanes.close()
        for calls in (self._spool_calls, self._batch_calls, self._calls, self.probe_calls):
            calls.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def stage(self, batch: Batch, pieces: BodyReader) -> Staged:
        """Stage a body and wait until it is durable; raises the errors of parsing and of `StagingManager.submit`."""
        async with self._spool.take_in(pieces) as body:
            with self._slots.one(batch.peer):
                return await self._stage(batch, body)

    async def statuses(self, peer: str, dataset: str | None) -> dict[str, Any]:
        """One dataset's status, or all; raises `UnknownDataset`."""
        with self._questions.one(peer):
            return await self._calls.run(self._statuses, dataset)

    async def request_flush(self, peer: str, dataset: str) -> FlushRequestResult:
        """Returns the outcome: see `Timestore.request_flush`."""
        with self._questions.one(peer):
            return await self._calls.run(self.store.request_flush, dataset)

    async def set_metadata(self, peer: str, dataset: str, document: str) -> dict[str, Any]:
        """Replace the metadata; raises `InvalidMetadata` or `InvalidDatasetName`."""
        with self._questions.one(peer):
            return await self._calls.run(self._set_metadata, dataset, document)

    async def _stage(self, batch: Batch, body: Body) -> Staged:
        notes: list[Note] = []
        before = await self._record(batch.dataset)
        reading = await self._batch_calls.run(self._reading, batch) if batch.format.is_text else None
        job, sender = self._job(batch, body, reading), (batch.peer, batch.dataset)
        receipt = await self._lanes.stage(sender, job, body, partial(self._submit, batch, body, notes))
        return Staged(receipt, Decided.by(before, await self._record(batch.dataset), notes))

    async def _record(self, dataset: str) -> DatasetRecord | None:
        """The dataset's record until it has columns; afterwards None, without a query of the ledger."""
        if dataset in self._with_columns:
            return None
        record = await self._batch_calls.run(self._staging.record, dataset)
        if record is not None and record.schema is not None:
            self._with_columns.add(dataset)
        return record

    def _job(self, batch: Batch, body: Body, reading: str | None) -> dict[str, Any]:
        return {
            "work": str(body.work),
            "inline": body.short is not None,
            "suffix": batch.format.suffix,
            "encoding": batch.encoding,
            "hint": batch.format.hint,
            "reading": reading,
        }

    def _reading(self, batch: Batch) -> str:
        """How to parse a body: by the dataset's known columns, and by the request's CSV dialect."""
        reading = self._staging.reading(batch.dataset)
        try:
            return reading.with_csv(batch.csv).to_json()
        except InvalidMetadata as error:
            raise UnsupportedType(f"Content-Type: {error}", hint="see 'Send a batch' in docs/http-api.md") from error

    def _submit(
        self, batch: Batch, body: Body, notes: list[Note], room: Reservation, parsed: Parsed, rows: memoryview
    ) -> Future[Receipt]:
        room.shrink(parsed.bytes)
        notes += parsed.notes
        table = _rows_in_file(body.work) if body.short is None else pa.ipc.open_stream(pa.py_buffer(rows)).read_all()
        with explaining("the body", parsed.notes):
            return self._staging.submit(batch.dataset, table, idempotency_key=batch.idempotency_key)

    def _statuses(self, dataset: str | None) -> dict[str, Any]:
        found = self.store.statuses() if dataset is None else [self.store.status(dataset)]
        return status_document(self.store.area.shard, found)

    def _set_metadata(self, dataset: str, document: str) -> dict[str, Any]:
        return dataset_document(self.store, self.store.set_metadata(dataset, document))

    def _prepare_folder(self) -> None:
        """Create the spool's folder, and remove those of killed servers."""
        for folder in self._folder.parent.glob("http-*"):
            if not self.store.area.identity.is_alive(folder.name.removeprefix("http-")):
                shutil.rmtree(folder, ignore_errors=True)
        self._folder.mkdir()


def _rows_in_file(work: Path) -> pa.Table:
    try:
        with pa.memory_map(str(work / "rows")) as file:
            return pa.ipc.open_stream(file).read_all()
    finally:
        shutil.rmtree(work, ignore_errors=True)  # the mapping outlives the file's name
