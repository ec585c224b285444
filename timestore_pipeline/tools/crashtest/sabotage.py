"""Faults that can be built into the processes of a crash test, to show that it finds them.

Each breaks one promise of the product in one place, in the victims' memory only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.flush import claim
from timestore_pipeline.ingest import manager, normalize
from timestore_pipeline.ingest.group_commit import GroupCommit
from timestore_pipeline.ingest.queue import QueuedBatch
from timestore_pipeline.lake.table import LakeTable
from timestore_pipeline.maintain.file_rows import FileRows
from timestore_pipeline.maintain.rewrite import Rewriter
from timestore_pipeline.model.batch import Receipt
from timestore_pipeline.model.lake import EpochOutcome, ExportedFile
from timestore_pipeline.staging.journal import Journal
from timestore_pipeline.staging.ledger.batches import Batches
from timestore_pipeline.staging.ledger.journals import Journals
from timestore_pipeline.system import clock

_EVERY = 5  # batches of which one loses or changes a row


def ack_early() -> None:
    """Receipts resolve before the rows are durable."""
    real = GroupCommit._stage

    def stage(self: GroupCommit, groups: Sequence[Sequence[QueuedBatch]]) -> list[QueuedBatch]:
        for batch in itertools.chain.from_iterable(groups):
            fields = (batch.dataset, batch.rows.num_rows, batch.bytes, clock.now())
            batch.receipt.set_result(Receipt("early", *fields, duplicate=False))
        return real(self, [[replace(batch, receipt=Future()) for batch in group] for group in groups])

    GroupCommit._stage = stage  # type: ignore[method-assign]


def write_late() -> None:
    """The ledger promises rows that are written to the journal only with the next group."""
    real = Journal._write
    held: dict[int, list[bytes | pa.Buffer]] = {}

    def write(self: Journal, parts: Sequence[bytes | pa.Buffer]) -> None:
        late = held.pop(id(self), [])
        if self.bytes == 0:  # the line with which a journal begins
            real(self, parts)
            return
        real(self, late)
        held[id(self)] = list(parts)
        self.bytes += sum(len(part) if isinstance(part, bytes) else part.size for part in parts)

    Journal._write = write  # type: ignore[method-assign]


def unlink_journals() -> None:
    """Every journal counts as empty once its process is gone."""
    Journals.idle = lambda self: self.all()  # type: ignore[method-assign]


def assume_unpublished() -> None:
    """The flush of a dead process counts as unpublished, without a look into the Delta log."""
    vars(claim)["check_ownership"] = lambda *_: None
    LakeTable.published = lambda *_: []  # type: ignore[method-assign]
    LakeTable.burn = lambda *_, **__: EpochOutcome.BURNT  # type: ignore[method-assign]


def drop_a_row() -> None:
    """One batch in `_EVERY` loses its last row on its way into the staging area."""
    _change_batches(lambda rows: rows.slice(0, rows.num_rows - 1))


def alter_a_value() -> None:
    """One batch in `_EVERY` gets other values on its way into the staging area."""

    def altered(rows: pa.Table) -> pa.Table:
        position = rows.schema.get_field_index("value")
        return rows.set_column(position, "value", pc.add(rows["value"], 1.0))

    _change_batches(altered)


def forget_keys() -> None:
    """Idempotency keys are ignored."""
    real = manager.StagingManager.submit

    def submit(self: manager.StagingManager, dataset: str, data: object, **options: Any) -> Future[Receipt]:
        return real(self, dataset, data, **options | {"idempotency_key": None})

    manager.StagingManager.submit = submit  # type: ignore[method-assign]


def publish_by_halves() -> None:
    """A flush of several files commits only the first ones."""
    real = LakeTable.publish

    def publish(
        self: LakeTable, app_id: str, epoch: int, files: Sequence[ExportedFile], commit_info: Mapping[str, Any]
    ) -> int | None:
        return real(self, app_id, epoch, files[: (len(files) + 1) // 2], commit_info)

    LakeTable.publish = publish  # type: ignore[method-assign]


def compact_carelessly() -> None:
    """A compaction loses a row, and the comparison afterwards is off."""
    real = FileRows.select
    FileRows.select = lambda self: f"{real(self)} OFFSET 1"  # type: ignore[method-assign]
    Rewriter._prove = lambda *_: None  # type: ignore[method-assign]


def promise_too_much() -> None:
    """Every commit claims that nothing is missing."""
    Batches.complete_until = lambda *_, **__: clock.now()  # type: ignore[method-assign]


SABOTAGES: dict[str, Callable[[], None]] = {
    act.__name__.replace("_", "-"): act
    for act in (
        ack_early,
        write_late,
        unlink_journals,
        assume_unpublished,
        drop_a_row,
        alter_a_value,
        forget_keys,
        publish_by_halves,
        compact_carelessly,
        promise_too_much,
    )
}


def _change_batches(change: Callable[[pa.Table], pa.Table]) -> None:
    real = normalize.read_arrow
    numbers = itertools.count(1)

    def read_arrow(data: object) -> pa.Table:
        rows = real(data)
        return change(rows) if rows.num_rows > 1 and next(numbers) % _EVERY == 0 else rows

    vars(manager)["read_arrow"] = read_arrow  # where the manager looks it up
