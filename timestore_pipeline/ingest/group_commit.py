"""The group commit of one dataset: file first, row second, and only then the receipts.

All waiting batches go into the open segment in one DuckDB transaction (durable), then into the ledger in one SQLite
transaction (durable), and then their receipts resolve.
- Dead before the segment's commit: nothing happened.
- Dead between the two: rows without a ledger entry, which no claim ever selects; the callers got no receipt.
- Dead after the ledger's commit: staged; a caller without its receipt sends again and is told it is a duplicate.

A batch that changes the dataset's schema is a group of its own, and its promise makes the change. When the ledger finds
that the dataset is no longer as a group was fitted to it, nothing is promised; its batches are fitted again and written
once more under the same ids, so that a ledger rebuilt from the segments counts one copy of each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial

import duckdb
import pyarrow as pa

from timestore_pipeline import clock
from timestore_pipeline.errors import RetryLater, TimestoreError
from timestore_pipeline.ingest.catalog import Fitted, fitted_to
from timestore_pipeline.ingest.extents import extents_of
from timestore_pipeline.ingest.local_notice import tell_of_local_times
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.ingest.receipts import fail, resolve, resolve_duplicate
from timestore_pipeline.model.batch import StagedBatch, batch_id
from timestore_pipeline.model.extent import Extent, Extents
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.datasets import DatasetRecord
from timestore_pipeline.staging.ledger.schema_changes import Basis, SchemaMoved
from timestore_pipeline.staging.segments import OpenSegment, SegmentHeader, new_segment_id

_log = logging.getLogger(__name__)


class GroupCommit:
    """Owns the dataset's open segment in this process. Used by one thread at a time."""

    def __init__(
        self,
        area: StagingArea,
        open_cursor: Callable[[], duckdb.DuckDBPyConnection],
        segment_max_bytes: int,
        fit: Callable[[str, pa.Table], Fitted],
    ) -> None:
        """open_cursor: a connection for one segment, which is closed with it. fit: as `DatasetCatalog.refit`."""
        self._area = area
        self._open_cursor = open_cursor
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._segment_max_bytes = segment_max_bytes
        self._fit = fit
        self._newest = 0  # version of the schema that this process has seen change last
        self._noted: Extents | None = {}  # extents that the ledger has; None = it needs none any more
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
        for some in self._by_schema(group):
            self._stage_group(some)
        if followers:
            self._stage_all(self._refuse_duplicates(followers))

    def _by_schema(self, batches: Sequence[QueuedBatch]) -> Iterator[list[QueuedBatch]]:
        """Groups in order, each batch that changes the schema alone; it is looked at once those before are staged."""
        group: list[QueuedBatch] = []
        for batch in batches:
            if batch.fitted.change is not None and group:
                yield group
                group = []
            if self._is_outdated(batch) and not self._refitted(batch):
                continue
            if batch.fitted.change is None:
                group.append(batch)
            else:
                yield [batch]
        if group:
            yield group

    def _is_outdated(self, batch: QueuedBatch) -> bool:
        """Whether a change has been made since the batch was found to need one."""
        change = batch.fitted.change
        return change is not None and change.schema_version < self._newest

    def _refitted(self, batch: QueuedBatch) -> bool:
        """Whether the batch fits its dataset as that is now; the caller hears why not."""
        try:
            batch.fitted = self._fit(batch.record.name, batch.source)
        except TimestoreError as error:
            fail([batch], error)
            return False
        return True

    def _stage_group(self, group: Sequence[QueuedBatch]) -> None:
        try:
            segment, promises = self._append(group)
        except Exception as error:  # noqa: BLE001  # nothing was promised yet, whatever it was
            self._give_up_segment()
            self._isolate(group, error)
            return
        try:
            self._promise(segment, group, promises)
        except SchemaMoved:
            for batch, promise in zip(group, promises, strict=True):
                batch.batch_id = promise.batch_id
            self.seal()  # it may have columns that the dataset never got
            self._stage_all(self._refuse_duplicates([batch for batch in group if self._refitted(batch)]))
            return
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
        staged = [(_staged(segment, batch), _in_columns_of(segment, batch)) for batch in group]
        segment.append(staged)
        return segment, [promise for promise, _ in staged]

    def _promise(self, segment: OpenSegment, group: Sequence[QueuedBatch], promises: Sequence[StagedBatch]) -> None:
        """Row second, receipts last. Not tried again on error: a commit whose answer was lost may have happened."""
        dataset_id = group[0].record.dataset_id
        basis = self._basis(group)
        raced = self._area.ledger.batches.record(dataset_id, segment.header.segment_id, promises, basis)
        self._newest = max(self._newest, *(batch.record.schema_version for batch in group))
        if self._noted is not None:
            self._noted = {**self._noted, **basis.extents}
        if basis.change is not None and not raced:
            tell_of_local_times(basis.dataset, basis.change.before, basis.change.schema)
        for batch, promise in zip(group, promises, strict=True):
            first = raced.get(batch.idempotency_key or "")
            if first is None:
                resolve(batch, promise, duplicate=False)
            else:
                resolve_duplicate(batch, first)
        if raced and basis.change is not None:
            self.seal()  # it has columns that the dataset did not get

    def _basis(self, group: Sequence[QueuedBatch]) -> Basis:
        """What the group was fitted to; of several, to the oldest."""
        changed = min(batch.fitted.times_changed for batch in group)
        extents: dict[str, Extent] = {}
        for batch in group if self._noted is not None else ():
            for path, extent in extents_of(batch.rows).items():
                extents[path] = extents.get(path, Extent()) | extent
        known = self._noted or {}
        news = {path: known.get(path, Extent()) | extent for path, extent in extents.items()}
        news = {path: extent for path, extent in news.items() if known.get(path) != extent}
        return Basis(group[0].record.name, changed, group[0].fitted.change, news)

    def _segment_for(self, record: DatasetRecord) -> OpenSegment:
        """The open segment, or a new one when there is none or it lacks columns: segments are never altered."""
        if self._segment is not None and _is_for(self._segment.header, record):
            return self._segment
        self.seal()
        assert record.schema is not None, "a dataset that accepted rows has a schema"
        header = SegmentHeader(
            new_segment_id(), self._area.shard, record.name, record.schema, record.time_column, record.granularity
        )
        self._segment = self._create(header, record.dataset_id)
        if self._noted is not None and self._area.ledger.schema_changes.is_fixed(record.name):
            self._noted = None
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


def _is_for(header: SegmentHeader, record: DatasetRecord) -> bool:
    """Whether every column is there, in its type, and the segment tells the layout as it is."""
    assert record.schema is not None, "a dataset that accepted rows has a schema"
    if (header.time_column, header.granularity) != (record.time_column, record.granularity):
        return False
    if header.schema.equals(record.schema):
        return True
    known = {field.name: field.type for field in header.schema}
    return all(known.get(field.name) == field.type for field in record.schema)


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
        batch_id=batch.batch_id or batch_id(segment.header.segment_id, sequence),
        sequence=sequence,
        rows=batch.rows.num_rows,
        bytes=batch.bytes,
        staged_at=clock.now(),
        idempotency_key=batch.idempotency_key,
    )


def _in_columns_of(segment: OpenSegment, batch: QueuedBatch) -> pa.Table:
    """The batch's rows in the segment's schema, which may be newer than the one they were conformed to."""
    if segment.header.schema.equals(batch.record.schema):
        return batch.rows
    return fitted_to(segment.header.schema, batch.record, batch.source)
