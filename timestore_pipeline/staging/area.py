"""One opened staging directory: its paths, its ledger, this process's identity in it, and queries about it."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from timestore_pipeline.errors import RetryLater, TimestoreError
from timestore_pipeline.model.flush import Backlog, Flush, FlushRef
from timestore_pipeline.staging.directory import (
    DiskUsage,
    StagingDirectory,
    file_sizes,
    folder_bytes,
)
from timestore_pipeline.staging.engine import EnginePool
from timestore_pipeline.staging.lease import LEASE, HeldClaims, expired
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.backlogs import Surroundings
from timestore_pipeline.staging.liveness import ProcessIdentity, opening
from timestore_pipeline.system import clock
from timestore_pipeline.system.context_managers import Closing
from timestore_pipeline.system.durable import make_folder, sync

_log = logging.getLogger(__name__)

SEGMENT_MAX_BYTES = 67_108_864


class StagingArea(Closing):
    """Open once per process and share; close it to stop being an owner."""

    def __init__(
        self, root: Path, shard: str, *, lease: timedelta = LEASE, segment_max_bytes: int = SEGMENT_MAX_BYTES
    ) -> None:
        """lease: how long the owner of a claim may be silent before the claim counts as interrupted.

        segment_max_bytes: Arrow bytes after which a roll-up begins another segment.
        """
        self.shard = shard
        self.lease = lease
        self.segment_max_bytes = segment_max_bytes
        self.directory = StagingDirectory(root)
        self.directory.prepare()
        with opening(self.directory) as may_be_new:
            self.ledger = Ledger(self.directory.ledger, shard, may_be_new=may_be_new)
            self.identity = ProcessIdentity(self.directory.processes, self.ledger.processes)
        self.held_claims = HeldClaims(self.identity.process_id, self.ledger.processes)
        self._surroundings = Surroundings(self.directory.segment_bytes, self._is_worked_on)
        self.engines = EnginePool()  # of this process's exports

    def backlogs(self) -> list[Backlog]:
        """Every dataset's backlog, in name order; removed ones left out."""
        return self.ledger.backlogs.all(self._surroundings_of_many())

    def waiting(self) -> list[Backlog]:
        """The backlogs that are not empty, in name order; a thousand times cheaper where most datasets rest."""
        return self.ledger.backlogs.waiting(self._surroundings_of_many())

    def _surroundings_of_many(self) -> Surroundings:
        """With one look for the folders that exist: most datasets that wait do so in journals alone."""
        present = set(self.directory.datasets())
        return replace(
            self._surroundings,
            segment_bytes=lambda dataset: self.directory.segment_bytes(dataset) if dataset in present else 0,
        )

    def backlog(self, dataset: str) -> Backlog:
        """One dataset's backlog; raises `UnknownDataset`."""
        return self.ledger.backlogs.of(dataset, self._surroundings)

    def dataset_usage(self, dataset: str) -> DiskUsage:
        """Bytes that the dataset's staged rows take now, in segments and in journals."""
        return DiskUsage(self.directory.segment_bytes(dataset), self.ledger.journals.bytes_of(dataset))

    def total_bytes(self) -> int:
        """Bytes of all segment files, of all journals, of the ledger and of nothing else."""
        ledger = sum(size for name, size in file_sizes(self.directory.root) if name.startswith("ledger."))
        staged = sum(self.directory.segment_bytes(dataset) for dataset in self.directory.datasets())
        return ledger + folder_bytes(self.directory.journals) + staged

    def quarantine_bytes(self) -> int:
        """Bytes of files that were set aside; they count towards no guardrail."""
        folder = self.directory.root / "quarantine"
        parents = [Path(parent) for parent, _, _ in os.walk(folder)]
        return sum(size for parent in parents for _, size in file_sizes(parent))

    def is_interrupted(self, flush: Flush) -> bool:
        """A claim without a worker: its process is gone or silent, or it is this process and has given the claim up."""
        return not self._is_worked_on(FlushRef(flush.dataset, flush.epoch), flush.owner)

    def is_working(self, process_id: str) -> bool:
        """Whether a process lives and, if it ever held a claim, has given a sign of life within the lease."""
        if not self.identity.is_alive(process_id):
            return False
        return not expired(self.ledger.processes.heartbeat_at(process_id), clock.now(), self.lease)

    def remove_drained_segments(self, dataset: str) -> int:
        """Unlink segments whose batches are all published; returns how many.

        Files first, then their ledger rows, and the folder in between: a file that came back after a power loss would
        be one that is not in the ledger. Raises `RetryLater` for those that cannot be unlinked, once all others are.
        """
        drained = [segment.segment_id for segment in self.ledger.segments.drained(dataset)]
        if not drained:
            return 0
        problems = {segment_id: self._unlink(dataset, segment_id) for segment_id in drained}
        removed = [segment_id for segment_id, problem in problems.items() if problem is None]
        try:
            make_folder(self.directory.segment_folder(dataset), private=True)
            sync(self.directory.segment_folder(dataset))
        except OSError as error:
            raise _not_removed(dataset, error) from error
        self.ledger.segments.forget(removed)
        if (problem := next(filter(None, problems.values()), None)) is not None:
            raise _not_removed(dataset, problem) from problem
        return len(removed)

    def tidy_segments(self, dataset: str) -> None:
        """The same where something else is to go on: a file that is no longer needed must not fail a flush."""
        try:
            self.remove_drained_segments(dataset)
        except TimestoreError as problem:
            _log.warning("dataset %s: %s", dataset, problem)

    def remove_all_drained_segments(self) -> int:
        """Segments that finalized flushes did not unlink; as long as they exist, they count towards the guardrails."""
        return sum(self.remove_drained_segments(dataset) for dataset in self.ledger.segments.datasets_with_drained())

    def close(self) -> None:
        self.engines.close()
        self.held_claims.close()
        self.identity.release()
        self.ledger.close()

    def _unlink(self, dataset: str, segment_id: str) -> OSError | None:
        from timestore_pipeline.staging import segments  # now: it imports DuckDB

        try:
            segments.remove(self.directory.segment(dataset, segment_id))
            segments.remove(self.directory.quarantined(dataset, segment_id))  # a damaged one that was replaced since
        except OSError as problem:
            return problem
        return None

    def _is_worked_on(self, ref: FlushRef, owner: str) -> bool:
        if owner == self.identity.process_id:
            return ref in self.held_claims
        return self.is_working(owner)


def _not_removed(dataset: str, error: OSError) -> RetryLater:
    hint = "all their batches are published, so they only take up space; the next flush tries again"
    return RetryLater(f"drained segments cannot be removed: {error}", dataset=dataset, hint=hint)
