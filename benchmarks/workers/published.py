"""A ledger that has published many batches, or none, and the steps that must not notice."""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.workers.answering import answer
from timestore_pipeline.model.batch import StagedBatch, batch_id, new_id
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.model.lake import ExportedFile, PartitionKey
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.ledger.batches import Promise
from timestore_pipeline.staging.ledger.exports import BatchShare
from timestore_pipeline.system import clock

_DATASET = "d"
_A_FLUSH = 1_000  # batches in each flush of the past
_ROWS, _BYTES = 10, 300  # of a batch
_BATCHES = 50  # of one flush that is measured
_FLUSHES = 20  # of a turn

# What is left of published batches that all had keys: runs, a receipt for each key, and the files of their flushes.
_NUMBERS = "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < {most})"
_PAST = (
    f"""
{_NUMBERS.format(most=f":batches / {_A_FLUSH}")}
INSERT INTO published_runs
SELECT 1 + n, :dataset, '0001', n * {_A_FLUSH}, n * {_A_FLUSH} + {_A_FLUSH - 1}, {_ROWS * _A_FLUSH},
    {_BYTES * _A_FLUSH}, :now - 1000 * n, :now - 1000 * n, 1 + n, :now FROM number
""",
    f"""
{_NUMBERS.format(most=":batches")}
INSERT INTO published_keys
SELECT 1 + n / {_A_FLUSH}, n, :dataset, randomblob(16), {_ROWS}, {_BYTES}, :now - n FROM number
""",
    f"""
INSERT INTO flushes (dataset_id, epoch, state, trigger, run_id, owner, batches, rows, bytes, oldest_staged_at,
    claimed_at, finished_at, version)
SELECT dataset_id, epoch, 'published', 'rows', 'run', 'gone', {_A_FLUSH}, rows, bytes, first_staged_at,
    :now, :now, epoch FROM published_runs
""",
    "INSERT INTO files SELECT epoch, dataset_id, epoch, 'part', rows, bytes, NULL, NULL, '', NULL, NULL FROM flushes",
    "INSERT INTO run_files SELECT run_id, epoch, rows FROM published_runs",
    "UPDATE datasets SET last_epoch = (SELECT max(epoch) FROM flushes)",
    "INSERT INTO volumes SELECT dataset_id, 'published', sum(batches), sum(rows), sum(bytes) FROM flushes",
    "INSERT INTO volumes SELECT dataset_id, 'accepted', batches, rows, bytes FROM volumes WHERE state = 'published'",
)


class Past:
    """A ledger in a folder of its own; no rows lie behind it."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._ledger = Ledger(home / "ledger.sqlite", "shard-0")
        self._dataset_id = self._ledger.datasets.ensure(_DATASET).dataset_id
        self._journal = new_id()
        self._ledger.journals.register(self._journal, "benchmark")
        self._numbers = itertools.count()

    def publish(self, batches: int) -> None:
        """Enter so many batches as published: with the product's own steps it would take hours."""
        values = {"batches": batches, "dataset": self._dataset_id, "now": clock.to_micros(clock.now())}
        with closing(sqlite3.connect(self._ledger.database.path)) as connection, connection:
            connection.execute("PRAGMA cache_size = -500000")  # KiB
            for statement in _PAST:
                connection.execute(statement, values)

    def flushes(self) -> dict[str, dict[str, float]]:
        """Median milliseconds of each step of a flush, and of the tick and the promises before it."""
        taken: dict[str, list[float]] = {}
        for _ in range(_FLUSHES):
            self._flush(taken)
        return {step: {"p50": statistics.median(times)} for step, times in taken.items()}

    def _flush(self, taken: dict[str, list[float]]) -> None:
        ledger, segment = self._ledger, new_id()
        ledger.segments.register(segment, self._dataset_id, "benchmark")
        for batch in (batches := [self._batch() for _ in range(_BATCHES)]):
            with _timed(taken, "promise"):
                ledger.batches.promise(self._journal, [Promise(self._dataset_id, batch.sequence, [batch])])
        with _timed(taken, "known-key"):
            assert ledger.batches.known_keys(self._dataset_id, [batches[0].idempotency_key or ""])
        with _timed(taken, "move"):
            ledger.journals.move(segment, {batch.batch_id: number for number, batch in enumerate(batches)})
        with _timed(taken, "backlog"):
            assert ledger.backlogs.waiting()
        with _timed(taken, "claim"):
            ref = ledger.flushes.claim(_DATASET, Trigger.ROWS, "run", "benchmark")
        assert ref is not None
        file = ExportedFile(f"part-{segment}", _ROWS * _BATCHES, _BYTES, PartitionKey(None, None), "", None, None)
        with _timed(taken, "export"):
            ledger.flushes.record_export(ref, [file], [BatchShare(b.batch_id, 0, _ROWS) for b in batches])
        with _timed(taken, "finalize"):
            ledger.flushes.finalize(ref, ref.epoch)
        with _timed(taken, "drained"):
            assert [one.segment_id for one in ledger.segments.drained(_DATASET)] == [segment]
        ledger.segments.forget([segment])
        with _timed(taken, "fold"):
            assert ledger.published.fold(_DATASET) == _BATCHES

    def _batch(self) -> StagedBatch:
        number = next(self._numbers)
        return StagedBatch(batch_id("0002", number), number, _ROWS, _BYTES, clock.now(), new_id())


@contextmanager
def _timed(taken: dict[str, list[float]], step: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    taken.setdefault(step, []).append(1e3 * (time.perf_counter() - began))


def main(home: Path) -> None:
    past = Past(home)
    answer({"publish": past.publish, "flushes": past.flushes})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
