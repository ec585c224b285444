"""The group commit of a process: file first, row second, and only then the receipts.

All waiting batches, of whatever datasets, go into the journal in one write and one flush to disk, then into the ledger
in one SQLite transaction (durable), and then their receipts resolve.
- Dead before the flush: nothing happened.
- Dead between the two: records without a ledger entry, which no claim ever selects; the callers got no receipt.
- Dead after the ledger's commit: staged; a caller without a receipt sends again, and gets one that says duplicate.

A batch that changes its dataset's schema is a group of its own, and its promise makes the change. When the ledger finds
that the dataset is no longer as a group was fitted to it, nothing of it is promised; its batches are fitted again and
written once more under the same ids, so that a ledger rebuilt from the files counts one copy of each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.ingest.catalog import Fitted
from timestore_pipeline.ingest.decided import warn_of_local_times
from timestore_pipeline.ingest.group import Group, Seen
from timestore_pipeline.ingest.queue import QueuedBatch, fail, resolve, resolve_duplicate
from timestore_pipeline.model.batch import StagedBatch, new_id
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.journal import Journal
from timestore_pipeline.staging.ledger.batches import Promise
from timestore_pipeline.staging.ledger.schema_changes import Basis, SchemaMoved
from timestore_pipeline.system import clock

_log = logging.getLogger(__name__)

_MOST_SECONDS = 30.0  # that a journal is appended to: what lies in it is rolled up within a minute


class GroupCommit:
    """Owns this process's journal. Used by one thread at a time."""

    def __init__(
        self, area: StagingArea, fit: Callable[[str, pa.Table], Fitted], closed: Callable[[str], None]
    ) -> None:
        """fit: as `DatasetCatalog.refit`. closed: called with the id of each journal that is closed."""
        self._area = area
        self._fit = fit
        self._closed = closed
        self._journal: Journal | None = None
        self._journal_ends = 0.0  # of the monotonic clock, seconds
        self._to_close: list[str] = []  # journals that the ledger still takes for open ones
        self._datasets: dict[str, Seen] = {}

    def commit(self, batches: Sequence[QueuedBatch]) -> None:
        """Stage the batches and resolve every receipt, with a result or with an error; raises nothing.

        A receipt that its caller has cancelled is skipped; from here on none can be cancelled.
        """
        waiting = [batch for batch in batches if batch.receipt.set_running_or_notify_cancel()]
        left = waiting
        try:
            while left:
                left = self._stage_some(left)
        except BaseException as error:  # noqa: BLE001  # of any kind: the waiting caller must get it
            fail(waiting, error)

    def _stage_some(self, waiting: Sequence[QueuedBatch]) -> list[QueuedBatch]:
        """Stage of each dataset as many batches as fit one group; returns what is left, in order."""
        by_dataset: dict[str, list[QueuedBatch]] = {}
        for batch in waiting:
            by_dataset.setdefault(batch.dataset, []).append(batch)
        groups, left = [], []
        for batches in by_dataset.values():
            group, later = self._first_group(self._refuse_duplicates(batches))
            groups += [group] if group else []
            left += later
        return (self._stage(groups) if groups else []) + left

    def _refuse_duplicates(self, batches: Sequence[QueuedBatch]) -> Iterator[QueuedBatch]:
        """The batches whose keys the ledger does not have; the others are resolved."""
        keys = [batch.idempotency_key for batch in batches if batch.idempotency_key is not None]
        ledger = self._area.ledger
        dataset_id = batches[0].record.dataset_id or ledger.datasets.id_of(batches[0].dataset)
        known = ledger.batches.known_keys(dataset_id, keys)
        for batch in batches:
            first = known.get(batch.idempotency_key or "")
            if first is None:
                yield batch
            else:
                resolve_duplicate(batch, first)

    def _first_group(self, batches: Iterator[QueuedBatch]) -> tuple[list[QueuedBatch], list[QueuedBatch]]:
        """Each key once, and a batch that changes the schema alone; and what follows them."""
        group: list[QueuedBatch] = []
        keys: set[str] = set()
        for batch in batches:
            change = batch.fitted.change
            if batch.idempotency_key in keys or (change is not None and group):
                return group, [batch, *batches]
            outdated = change is not None and change.schema_version < self._seen(batch.dataset).newest
            if outdated and not self._refitted(batch):
                continue
            group.append(batch)
            if batch.fitted.change is not None:
                break
            if batch.idempotency_key is not None:
                keys.add(batch.idempotency_key)
        return group, list(batches)

    def _refitted(self, batch: QueuedBatch) -> bool:
        """Whether the batch fits its dataset as of now; if not, its caller gets the reason."""
        try:
            batch.fitted = self._fit(batch.dataset, batch.source)
        except TimestoreError as error:
            fail([batch], error)
            return False
        return True

    def _stage(self, groups: Sequence[Sequence[QueuedBatch]]) -> list[QueuedBatch]:
        """File first: write, then promise; returns what has to be staged once more, since its dataset has changed."""
        every = [batch for group in groups for batch in group]
        try:
            journal = self._open_journal()
        except TimestoreError as error:
            fail(every, error)
            return []
        encoded = [one for group in groups for one in self._encoded(journal, group)]
        try:
            offsets = journal.append([one.written for one in encoded])
        except Exception as error:  # noqa: BLE001  # nothing was promised yet, whatever it was
            self._give_up_journal()
            fail(every, error)
            return []
        return self._promise(journal.journal_id, encoded, offsets) if encoded else []

    def _encoded(self, journal: Journal, batches: Sequence[QueuedBatch]) -> list[Group]:
        """One record of them all; should one not fit, a record of each, so that it fails alone."""
        try:
            return [Group.encoded(self._writing(batches[0].dataset, journal.journal_id), batches)]
        except Exception as error:  # noqa: BLE001  # nothing was written yet, whatever it was
            if len(batches) == 1:
                fail(batches, error)
                return []
        return [one for batch in batches for one in self._encoded(journal, [batch])]

    def _writing(self, dataset: str, journal_id: str) -> Seen:
        """What is remembered of a dataset that is written to this journal."""
        seen = self._seen(dataset)
        if seen.journal_id != journal_id:
            seen.begin(journal_id)
            if seen.noted is not None and self._area.ledger.schema_changes.is_fixed(dataset):
                seen.noted = None
        return seen

    def _promise(self, journal_id: str, groups: Sequence[Group], offsets: Sequence[int]) -> list[QueuedBatch]:
        """Row second, receipts last. Not tried again on error: a commit whose answer was lost may have happened."""
        bases = [group.basis(self._seen(group.batches[0].dataset).noted) for group in groups]
        outcomes = self._area.ledger.batches.promise(
            journal_id,
            [
                Promise(group.batches[0].record.dataset_id, offset, group.promised, basis)
                for group, offset, basis in zip(groups, offsets, bases, strict=True)
            ],
        )
        again: list[QueuedBatch] = []
        for group, basis, outcome in zip(groups, bases, outcomes, strict=True):
            if isinstance(outcome, SchemaMoved):
                for batch, promised in zip(group.batches, group.promised, strict=True):
                    batch.batch_id = promised.batch_id
                again += [batch for batch in group.batches if self._refitted(batch)]
            else:
                self._resolve(group, basis, outcome)
        return again

    def _resolve(self, group: Group, basis: Basis, raced: Mapping[str, StagedBatch]) -> None:
        """raced: what another process staged first, by key."""
        seen = self._seen(basis.dataset)
        seen.newest = max(seen.newest, *(batch.record.schema_version for batch in group.batches))
        if seen.noted is not None:
            seen.noted = {**seen.noted, **basis.extents}
        if basis.change is not None and not raced:
            warn_of_local_times(basis.dataset, basis.change.before, basis.change.schema)
        for batch, promise in zip(group.batches, group.promised, strict=True):
            first = raced.get(batch.idempotency_key or "")
            if first is None:
                resolve(batch, promise, duplicate=False)
            else:
                resolve_duplicate(batch, first)

    def _seen(self, dataset: str) -> Seen:
        return self._datasets.setdefault(dataset, Seen())

    def _open_journal(self) -> Journal:
        """The present journal, or a new one when there is none or it is large or old enough to be rolled up."""
        if self._journal is not None and (
            self._journal.bytes >= self._area.segment_max_bytes or clock.monotonic() >= self._journal_ends
        ):
            self.close_journal()
        if self._journal is None:
            journal_id = new_id()
            self._area.ledger.journals.register(journal_id, self._area.identity.process_id)
            self._to_close.append(journal_id)  # should the file not come to be
            self._journal = Journal(self._area.directory.journal(journal_id), self._area.shard)
            self._to_close.remove(journal_id)
            self._journal_ends = clock.monotonic() + _MOST_SECONDS
        return self._journal

    def close_journal(self) -> None:
        """Append no more to the current journal, if there is one; after an error, call it again to continue."""
        if self._journal is not None:
            self._journal.close()
            self._to_close.append(self._journal.journal_id)
            self._journal = None
        while self._to_close:
            self._area.ledger.journals.close(self._to_close[0])
            self._closed(self._to_close.pop(0))

    def _give_up_journal(self) -> None:
        """After an error the journal's last bytes are unknown: the next batch gets a new journal."""
        try:
            self.close_journal()
        except TimestoreError as error:
            _log.warning("a journal is not closed yet, trying again later: %s", error)
