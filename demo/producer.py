"""One producer: replays an airport's year into the staging queue, spread over some seconds.

It keeps no state of its own. After `kill -9` it is simply started again, replays from the first batch, and what was
staged before is answered as a duplicate. Some batches are sent twice on purpose, as by a client whose connection broke.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

from demo.source import BEGIN, WHOLE_YEAR, Batch, batches
from timestore_pipeline import Receipt, Settings, StagingManager
from timestore_pipeline.errors import RetryLater
from timestore_pipeline.system import clock

_MOST_UNANSWERED = 512  # submitted and not yet durable; bounds memory when the disk is slow
_ROOM_WITHIN = timedelta(seconds=5)  # a full queue makes the producer wait, so the source slows down with the disk
_SENT_TWICE_PERCENT = 5
_BURST_SECONDS = (
    0.2  # a pause is that much longer than it must be, then several batches go out at once, as from a collector
)


@dataclass(frozen=True, slots=True)
class Report:
    """What one producer did; batches and rows count once per receipt."""

    airport: str
    staged_batches: int = 0
    staged_rows: int = 0
    duplicate_batches: int = 0  # refused: already staged by this run or an earlier one
    retries: int = 0  # times staging said "later" (queue full, limit reached, ledger busy) and the batch was sent again
    seconds: float = 0.0

    def counting(self, receipt: Receipt) -> Report:
        """This report and one more receipt."""
        if receipt.duplicate:
            return replace(self, duplicate_batches=self.duplicate_batches + 1)
        return replace(self, staged_batches=self.staged_batches + 1, staged_rows=self.staged_rows + receipt.rows)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Report:
        return cls(**json.loads(path.read_text()))


class Pace:
    """Maps the year's first `days` onto `seconds` of the present, beginning `late` seconds ago."""

    def __init__(self, seconds: float, days: int = WHOLE_YEAR, late: float = 0) -> None:
        self._started = clock.monotonic() - late
        self._seconds_per_day = seconds / days

    @property
    def elapsed(self) -> float:
        return clock.monotonic() - self._started

    def wait_for(self, instant: datetime) -> None:
        """Return soon after it is the turn of `instant`; at once if that is in the past."""
        early = (instant - BEGIN) / timedelta(days=1) * self._seconds_per_day - self.elapsed
        if early > 0:
            clock.sleep(early + _BURST_SECONDS)


class Producer:
    """Sends batches without waiting for each; `finish` returns once every one is durable."""

    def __init__(self, staging: StagingManager, airport: str) -> None:
        self._staging = staging
        self._report = Report(airport)
        self._unanswered: deque[tuple[Batch, Future[Receipt]]] = deque()

    def send(self, batch: Batch) -> None:
        """Queue a batch, twice if it is one of those; waits while the queue is full."""
        for _ in range(2 if is_sent_twice(batch) else 1):
            self._submit(batch)
        while len(self._unanswered) > _MOST_UNANSWERED or (self._unanswered and self._unanswered[0][1].done()):
            self._take_answer()

    def finish(self) -> Report:
        """Wait until everything sent is durable."""
        while self._unanswered:
            self._take_answer()
        return self._report

    def _submit(self, batch: Batch) -> None:
        while True:
            try:
                receipt = self._staging.submit(
                    batch.dataset, batch.table, idempotency_key=batch.key, max_wait=_ROOM_WITHIN
                )
            except RetryLater as refusal:
                self._wait_after(refusal)
            else:
                self._unanswered.append((batch, receipt))
                return

    def _take_answer(self) -> None:
        batch, receipt = self._unanswered.popleft()
        try:
            self._report = self._report.counting(receipt.result())
        except RetryLater as refusal:  # not staged: the same key may go again
            self._wait_after(refusal)
            self._submit(batch)

    def _wait_after(self, refusal: RetryLater) -> None:
        self._report = replace(self._report, retries=self._report.retries + 1)
        clock.sleep(refusal.retry_after.total_seconds())


def is_sent_twice(batch: Batch) -> bool:
    """The same choice in every run and every process, which Python's own hash() would not be."""
    return zlib.crc32(f"{batch.dataset}/{batch.key}".encode()) % 100 < _SENT_TWICE_PERCENT


def replay(staging: StagingManager, airport: str, source: Iterable[Batch], pace: Pace) -> Report:
    """Send `source` at that pace; returns when all of it is durable."""
    producer = Producer(staging, airport)
    for batch in source:
        pace.wait_for(batch.starts_at)
        producer.send(batch)
    return replace(producer.finish(), seconds=round(pace.elapsed, 3))


def run(airport: str, days: int, pace: Pace, report: Path | None) -> None:
    """The whole life of a producer process; staging is configured by the environment."""
    with StagingManager.open(Settings.from_env()) as staging:
        outcome = replay(staging, airport, batches(airport, days), pace)
    if report:
        outcome.write(report)


def run_for_ever(airport: str, seconds: float) -> NoReturn:
    """Replay the year again and again, each round a year in `seconds`, as batches of their own."""
    with StagingManager.open(Settings.from_env()) as staging:
        lap = 0
        while True:
            lap += 1
            replay(staging, airport, _keyed(batches(airport), lap), Pace(seconds))


def _keyed(source: Iterable[Batch], lap: int) -> Iterator[Batch]:
    return (replace(batch, key=f"{batch.key}/{lap}") for batch in source)
