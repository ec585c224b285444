"""The group commit of one dataset: file first, row second, and only then the receipts.

All waiting batches go into the open segment in one DuckDB transaction (durable), then into the ledger in one SQLite
transaction (durable), and then their receipts resolve.
- Dead before the segment's commit: nothing happened.
- Dead between the two: rows without a ledger entry, which no claim ever selects; the callers got no receipt.
- Dead after the ledger's commit: staged; a caller without its receipt sends again and is told it is a duplicate.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Set
from functools import partial

import duckdb
import pyarrow as pa

from timestore_pipeline import clock
from timestore_pipeline.errors import RetryLater, TimestoreError
from timestore_pipeline.ingest.normalize import conform
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.ingest.receipts import fail, resolve, resolve_duplicate
from timestore_pipeline.model.batch import StagedBatch, batch_id
from timestore_pipeline.model.columns import evolve, stored_schema
from timestore_pipeline.model.dataset import Evolution
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.datasets import DatasetRecord
from timestore_pipeline.staging.segments import OpenSegment, SegmentHeader, new_segment_id

_log = logging.getLogger(__name__)


class GroupCommit:
    """Owns the dataset's open segment in this process. Used by one thread at a time."""

    def __init__(
        self, area: StagingArea, open_cursor: Callable[[], duckdb.DuckDBPyConnection], segment_max_bytes: int
    ) -> None:
        """open_cursor: a connection for one segment, which is closed with it."""
        self._area = area
        self._open_cursor = open_cursor
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._segment_max_bytes = segment_max_bytes
        self._segment: OpenSegment | None = None
        self._untold: list[Callable[[], None]] = []  # what became of segments, as far as the ledger has not heard

    def commit(self, batches: Sequence[QueuedBatch]) -> None:
        """Stage the batches and resolve every receipt, with a result or with an error; raises nothing.

        A receipt its caller has cancelled by now is left alone; from here on none can be cancelled any more.
        """
        waiting = [batch for batch in batches if batch.receipt.set_running_or_notify_cancel()]
        try:
            self._stage_all(self._refuse_duplicates(waiting))
        except BaseException as error:  # noqa: BLE001  # whatever it is, a caller who waits must hear of it
            fail(waiting, error)

    @property
    def is_open(self) -> bool:
        """Whether there is an open segment."""
        return self._segment is not None

    def seal(self, only: Set[str] | None = None) -> None:
        """Let a claim have the open segment, if there is one; again after an error goes on where it stopped.

        only: ids, None = whichever it is.
        """
        segment = self._segment
        if segment is not None and (only is None or segment.header.segment_id in only):
            self._segment = None
            self._untold.append(self._detach(segment))
        while self._untold:
            self._untold[0]()
            del self._untold[0]

    def close(self) -> None:
        """Let go of DuckDB; call `seal` before."""
        self._close_cursor()

    def _refuse_duplicates(self, batches: Sequence[QueuedBatch]) -> list[QueuedBatch]:
        """Resolve what the ledger knows already; the rest, each idempotency key once and followers last."""
        if not batches:
            return []
        keys = [batch.idempotency_key for batch in batches if batch.idempotency_key is not None]
        known = self._area.ledger.batches.known_keys(batches[0].record.dataset_id, keys)
        fresh = []
        for batch in batches:
            first = known.get(batch.idempotency_key or "")
            if first is None:
                fresh.append(batch)
            else:
                resolve_duplicate(batch, first)
        return fresh

    def _stage_all(self, batches: Sequence[QueuedBatch]) -> None:
        """Stage batches whose keys the ledger does not know; a key's second occurrence follows in a second group."""
        group, followers = _first_of_each_key(batches)
        if group:
            self._stage_group(group)
        if followers:
            self._stage_all(self._refuse_duplicates(followers))

    def _stage_group(self, group: Sequence[QueuedBatch]) -> None:
        try:
            segment, promises = self._append(group)
        except Exception as error:  # noqa: BLE001  # nothing was promised yet, whatever it was
            self._give_up_segment()
            self._isolate(group, error)
            return
        self._promise(segment, group, promises)
        if segment.bytes >= self._segment_max_bytes:
            self.seal()

    def _isolate(self, group: Sequence[QueuedBatch], error: Exception) -> None:
        """One bad batch must not fail its neighbours: each gets a group of its own, unless the disk is the problem."""
        if len(group) == 1 or isinstance(error, RetryLater):
            fail(group, error)
            return
        for batch in group:
            self._stage_group([batch])

    def _append(self, group: Sequence[QueuedBatch]) -> tuple[OpenSegment, list[StagedBatch]]:
        """File first: the rows are durable on return, and nobody was promised anything yet."""
        newest = max((batch.record for batch in group), key=lambda record: record.schema_version)
        segment = self._segment_for(newest)
        staged = [(_staged(segment, batch), _fitted(batch, segment)) for batch in group]
        segment.append(staged)
        return segment, [promise for promise, _ in staged]

    def _promise(self, segment: OpenSegment, group: Sequence[QueuedBatch], promises: Sequence[StagedBatch]) -> None:
        """Row second, receipts last. Not tried again on error: a commit whose answer was lost may have happened."""
        dataset_id = group[0].record.dataset_id
        raced = self._area.ledger.batches.record(dataset_id, segment.header.segment_id, promises)
        for batch, promise in zip(group, promises, strict=True):
            first = raced.get(batch.idempotency_key or "")
            if first is None:
                resolve(batch, promise, duplicate=False)
            else:
                resolve_duplicate(batch, first)

    def _segment_for(self, record: DatasetRecord) -> OpenSegment:
        """The open segment, or a new one when there is none or it lacks columns: segments are never altered."""
        if self._segment is not None and _holds(self._segment.header.schema, record.schema):
            return self._segment
        self.seal()
        assert record.schema is not None, "a dataset that accepted rows has a schema"
        header = SegmentHeader(
            new_segment_id(), self._area.shard, record.name, record.schema, record.time_column, record.granularity
        )
        self._segment = self._create(header, record.dataset_id)
        return self._segment

    def _create(self, header: SegmentHeader, dataset_id: int) -> OpenSegment:
        segments = self._area.ledger.segments
        segments.register(header.segment_id, dataset_id, self._area.identity.process_id)
        self._connection = self._open_cursor()
        try:
            return OpenSegment(
                self._connection, self._area.directory.segment(header.dataset, header.segment_id), header
            )
        except Exception:
            self._close_cursor()
            self._untold.append(partial(segments.disown, header.segment_id))
            raise

    def _detach(self, segment: OpenSegment) -> Callable[[], None]:
        """Let go of the file; returns how to tell the ledger. One that cannot be folded is taken over with its log."""
        try:
            segment.seal()
        except TimestoreError as error:
            _log.warning("segment %s is left to be taken over: %s", segment.header.segment_id, error)
            self._close_cursor()
            self._open_cursor().close()  # an instance that was given up keeps the file locked until it is replaced
            return partial(self._area.ledger.segments.disown, segment.header.segment_id)
        self._close_cursor()
        return partial(self._hand_over, segment.header)

    def _close_cursor(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _hand_over(self, header: SegmentHeader) -> None:
        """To the flushes; a segment no batch was promised from is removed, or it would fill the guardrail for ever."""
        self._area.ledger.segments.mark_sealed(header.segment_id)
        if not self._area.ledger.batches.in_segment(header.segment_id):
            self._area.remove_drained_segments(header.dataset)

    def _give_up_segment(self) -> None:
        """After an error the segment may be unusable: the next batch gets a new one."""
        try:
            self.seal()
        except TimestoreError as error:
            _log.warning("a segment is not handed over yet, trying again later: %s", error)


def _holds(segment: pa.Schema, wanted: pa.Schema | None) -> bool:
    """Whether every wanted column is there, in its type: a published type may have taken the place of another."""
    if wanted is None or segment.equals(wanted):
        return wanted is not None
    known = {field.name: field.type for field in segment}
    return all(known.get(field.name) == field.type for field in wanted)


def _first_of_each_key(batches: Sequence[QueuedBatch]) -> tuple[list[QueuedBatch], list[QueuedBatch]]:
    group: list[QueuedBatch] = []
    followers: list[QueuedBatch] = []
    seen: set[str] = set()
    for batch in batches:
        key = batch.idempotency_key
        (followers if key in seen else group).append(batch)
        if key is not None:
            seen.add(key)
    return group, followers


def _staged(segment: OpenSegment, batch: QueuedBatch) -> StagedBatch:
    sequence = segment.take_sequence()
    return StagedBatch(
        batch_id=batch_id(segment.header.segment_id, sequence),
        sequence=sequence,
        rows=batch.rows.num_rows,
        bytes=batch.bytes,
        staged_at=clock.now(),
        idempotency_key=batch.idempotency_key,
    )


def _fitted(batch: QueuedBatch, segment: OpenSegment) -> pa.Table:
    """The batch's rows in the segment's schema, which may be newer than the one they were conformed to."""
    if batch.record.schema is segment.header.schema:
        return batch.rows
    assert batch.record.schema is not None, "rows were conformed to it"
    evolve(segment.header.schema, batch.record.schema, Evolution.ADDITIVE)  # refuses what a cast would reinterpret
    return conform(batch.rows, stored_schema(segment.header.schema), batch.record.time_column)
