"""Claims in the ledger, from the epoch taken to the batches published or returned.

Every step is one transaction that compares the flush's state before it changes it, so a step done twice changes nothing
and a step that comes too late is refused with `Fenced`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from timestore_pipeline.errors import Fenced, FlushInFlight
from timestore_pipeline.model.batch import BatchState, Volume
from timestore_pipeline.model.flush import Flush, FlushRef, FlushState, RetryReason, Trigger
from timestore_pipeline.model.lake import ExportedFile
from timestore_pipeline.staging.ledger import claim_contents, exports, volumes
from timestore_pipeline.staging.ledger.counters import increment, observe_duration
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger.datasets import dataset_id_of, prolong_request
from timestore_pipeline.staging.ledger.flush_failures import back_off, settle
from timestore_pipeline.staging.ledger.flush_rows import (
    GROUP,
    SELECT,
    end_flush,
    flush_of,
    require_live,
    require_owner,
    state_of,
)
from timestore_pipeline.staging.ledger.processes import sign_of_life
from timestore_pipeline.staging.ledger.pushes import count_flush
from timestore_pipeline.staging.ledger.segment_rows import sealed_batches_of
from timestore_pipeline.system import clock

MOST_FORGOTTEN = 10_000  # files in one transaction


class Flushes:
    """The `flushes`, `files` and `batch_files` tables, and the state of the batches a flush holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self,
        dataset: str,
        trigger: Trigger,
        run_id: str,
        owner: str,
        most_bytes: int | None = None,
        without: Collection[str] = (),
    ) -> FlushRef | None:
        """Take the next epoch and pending batches, wherever they lie; None when there is none.

        Oldest first, as many as `claim_contents` and `most_bytes` allow; see `Batches.waits` for the rest. without: ids
        of journals that cannot be read now. Raises `FlushInFlight` when the dataset has a claim already, and
        `UnknownDataset`.
        """
        with self._database.transaction() as tx:
            dataset_id = dataset_id_of(tx, dataset)
            epoch = claim_contents.take(tx, dataset_id, dataset, trigger, run_id, owner, most_bytes, without)
            if epoch is None:
                return None
            prolong_request(tx, dataset_id, epoch)
            sign_of_life(tx, owner)
            return FlushRef(dataset, epoch)

    def get(self, ref: FlushRef) -> Flush:
        row = self._database.row(f"{SELECT} WHERE name = ? AND flushes.epoch = ? {GROUP}", (ref.dataset, ref.epoch))
        if row is None:
            raise Fenced(f"there is no flush {ref.epoch} of dataset {ref.dataset!r}", dataset=ref.dataset)
        return flush_of(row)

    def history(self, dataset: str | None = None, most: int = 100) -> list[Flush]:
        """The newest flushes, newest first."""
        condition = "" if dataset is None else "WHERE name = :dataset"
        newest = (  # chosen before their files are looked up: a year of them takes seconds
            "SELECT dataset_id, epoch FROM flushes JOIN datasets USING (dataset_id)"
            f" {condition} ORDER BY claimed_at DESC, epoch DESC LIMIT :most"
        )
        rows = self._database.rows(
            f"{SELECT} WHERE (dataset_id, flushes.epoch) IN ({newest}) {GROUP}"
            " ORDER BY claimed_at DESC, flushes.epoch DESC",
            {"dataset": dataset, "most": most},
        )
        return [flush_of(row) for row in rows]

    def in_flight(self, dataset: str | None = None) -> list[Flush]:
        """Claims that are neither published nor aborted; at most one per dataset."""
        condition = "" if dataset is None else "AND name = :dataset"
        rows = self._database.rows(
            f"{SELECT} WHERE flushes.state IN ('claimed', 'exported') {condition} {GROUP} ORDER BY name",
            {"dataset": dataset},
        )
        return [flush_of(row) for row in rows]

    def adopt(self, ref: FlushRef, owner: str, previous: str) -> None:
        """Make `owner` the process that works on the claim, if it is still `previous`'s.

        Raises `Fenced` when the claim has ended, `FlushInFlight` when another process adopted it first.
        """
        with self._database.transaction() as tx:
            dataset_id = require_live(tx, ref)
            changed = tx.execute(
                "UPDATE flushes SET owner = ? WHERE dataset_id = ? AND epoch = ? AND owner = ?",
                (owner, dataset_id, ref.epoch, previous),
            )
            if changed.rowcount == 0:
                raise FlushInFlight(
                    f"flush {ref.epoch} of dataset {ref.dataset!r} is another process's",
                    dataset=ref.dataset,
                    hint="wait for it to end",
                )
            sign_of_life(tx, owner)

    def claimed_segments(self, ref: FlushRef) -> dict[str, list[int]]:
        """Segment id -> sequences of the claimed batches."""
        with self._database.snapshot() as tx:
            return sealed_batches_of(tx, dataset_id_of(tx, ref.dataset), ref.epoch)

    def record_export(
        self,
        ref: FlushRef,
        files: Sequence[ExportedFile],
        shares: Iterable[exports.BatchShare],
        owner: str | None = None,
    ) -> None:
        """Write down the exported files and which batches they hold, before anything is published.

        So a publish whose process dies right after the commit can be finalized by any other.
        owner: the process that exported, None = any holder of the claim. Raises `Fenced` when the claim has ended or
        now has another owner, which may be publishing files of its own.
        """
        with self._database.transaction() as tx:
            dataset_id = require_live(tx, ref)
            require_owner(tx, ref, dataset_id, owner)
            exports.forget(tx, dataset_id, ref.epoch)
            exports.record(tx, dataset_id, ref.epoch, files, shares)
            tx.execute(
                "UPDATE flushes SET state = 'exported' WHERE dataset_id = ? AND epoch = ?", (dataset_id, ref.epoch)
            )

    def files(self, ref: FlushRef) -> list[ExportedFile]:
        rows = self._database.rows(
            "SELECT files.* FROM files JOIN datasets USING (dataset_id) WHERE name = ? AND epoch = ? ORDER BY file_id",
            (ref.dataset, ref.epoch),
        )
        return [exports.exported_file(row) for row in rows]

    def forget_statistics(self, dataset: str, before: datetime, most: int = MOST_FORGOTTEN) -> int:
        """Drop the column statistics of files published before an instant: most of a ledger, and in the Delta log too.

        Returns of how many; as long as it is `most` there may be more. They are looked for outside the transaction, for
        which producers wait.
        """
        found = self._database.rows(
            "SELECT file_id FROM files JOIN flushes USING (dataset_id, epoch) JOIN datasets USING (dataset_id)"
            " WHERE name = ? AND stats != '' AND flushes.state = 'published' AND finished_at < ? LIMIT ?",
            (dataset, clock.to_micros(before), most),
        )
        with self._database.transaction() as tx:
            tx.executemany("UPDATE files SET stats = '' WHERE file_id = ?", [(row["file_id"],) for row in found])
        return len(found)

    def finalize(self, ref: FlushRef, version: int | None) -> bool:
        """The flush is in the Delta log: mark its batches published. False when that was known already.

        Raises `Fenced` when the ledger has it as aborted; no flush is aborted before its epoch is burnt. Also when
        no export was recorded: its rows cannot be in any file, whatever was committed under its epoch.
        """
        with self._database.transaction() as tx:
            state = state_of(tx, ref)
            if state is FlushState.PUBLISHED:
                return False
            dataset_id = require_live(tx, ref)
            if state is not FlushState.EXPORTED:
                raise Fenced(
                    f"flush {ref.epoch} of dataset {ref.dataset!r} has exported nothing to finalize",
                    dataset=ref.dataset,
                    hint="`timestore recover` returns its batches to the queue",
                )
            moved = end_flush(tx, ref, dataset_id, FlushState.PUBLISHED, "version = ?", version)
            tx.execute(
                "UPDATE batches SET state = 'published', published_at = ? WHERE dataset_id = ? AND epoch = ?",
                (clock.to_micros(clock.now()), dataset_id, ref.epoch),
            )
            volumes.move(tx, dataset_id, BatchState.IN_FLIGHT, BatchState.PUBLISHED, moved)
            _count(tx, dataset_id, ref, "success", moved)
            settle(tx, dataset_id, ref.epoch)
            return True

    def abort(self, ref: FlushRef, seen: FlushState, error: str, reason: RetryReason) -> bool:
        """Return the claim's batches to pending and count them as retried. False when it was aborted already.

        seen: the state from which the caller concluded that the epoch can no longer be published. Raises `Fenced` when
        the flush has moved on since: another process may have exported it, and even published.
        """
        with self._database.transaction() as tx:
            state = state_of(tx, ref)
            if state is FlushState.ABORTED:
                return False
            dataset_id = require_live(tx, ref)
            if state is not seen:
                raise Fenced(
                    f"flush {ref.epoch} of dataset {ref.dataset!r} is now {state}, no longer {seen}",
                    dataset=ref.dataset,
                    hint="another process works on it; `timestore recover` looks again",
                )
            moved = end_flush(tx, ref, dataset_id, FlushState.ABORTED, "error = ?", error)
            tx.execute(
                "UPDATE batches SET state = 'pending', epoch = NULL, attempts = attempts + 1"
                " WHERE dataset_id = ? AND epoch = ?",
                (dataset_id, ref.epoch),
            )
            volumes.move(tx, dataset_id, BatchState.IN_FLIGHT, BatchState.PENDING, moved)
            exports.forget(tx, dataset_id, ref.epoch)
            _count(tx, dataset_id, ref, "failure", moved)
            increment(tx, dataset_id, "retried_batches_total", {"reason": reason.value}, moved.batches)
            back_off(tx, dataset_id)
            return True

    def end_if_empty(self, ref: FlushRef, error: str) -> bool:
        """End a claim all of whose batches were set aside; False when it holds some. Nothing failed: no backoff."""
        with self._database.transaction() as tx:
            dataset_id = require_live(tx, ref)
            held = tx.execute("SELECT batches FROM flushes WHERE dataset_id = ? AND epoch = ?", (dataset_id, ref.epoch))
            if held.fetchone()["batches"]:
                return False
            nothing = end_flush(tx, ref, dataset_id, FlushState.ABORTED, "error = ?", error)
            exports.forget(tx, dataset_id, ref.epoch)
            _count(tx, dataset_id, ref, "failure", nothing)
            settle(tx, dataset_id, ref.epoch)
            return True


def _count(tx: sqlite3.Connection, dataset_id: int, ref: FlushRef, result: str, moved: Volume) -> None:
    row = tx.execute(
        "SELECT trigger, finished_at - claimed_at AS micros FROM flushes WHERE dataset_id = ? AND epoch = ?",
        (dataset_id, ref.epoch),
    ).fetchone()
    count_flush(tx)
    increment(tx, dataset_id, "flushes_total", {"trigger": row["trigger"], "result": result})
    increment(tx, dataset_id, "flush_batches_total", {"result": result}, moved.batches)
    increment(tx, dataset_id, "flush_rows_total", {"result": result}, moved.rows)
    observe_duration(tx, dataset_id, result, max(row["micros"], 0) / 1e6)
