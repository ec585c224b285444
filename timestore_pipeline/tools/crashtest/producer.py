"""The role that sends batches: it sends a batch again when in doubt, and records every answer in its journal.

Killed before the intent: nothing was sent. Killed after it: the next life of this producer sends the batch again under
its key. Batches without a key stay in doubt and may be published once or not at all.
"""

from __future__ import annotations

import random
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta

from timestore_pipeline.errors import QueueFull, RetryLater
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.model.batch import Receipt
from timestore_pipeline.system import clock
from timestore_pipeline.tools.crashtest import process_phases
from timestore_pipeline.tools.crashtest.process_phases import Life
from timestore_pipeline.tools.crashtest.producer_journal import ProducerJournal, Story, read_end
from timestore_pipeline.tools.crashtest.schedule import ProvableBatch, Role, make_batch

_WINDOW = 8  # receipts that a producer of odd position leaves open
_AGAIN = 0.08  # share of batches after which an acknowledged one is sent a second time
_LONGEST_PAUSE = 0.01  # seconds between two batches
_SLOWER = 10  # times: an evolver
_SURELY_ACKED = _WINDOW + 2  # batches below the newest one: of older ones, each with a key is acknowledged
_PATIENCE = timedelta(seconds=10)  # for room in the queue


def produce(life: Life) -> None:
    """Send batches until asked to end; then wait for the open receipts."""
    with (
        ProducerJournal(life.plan.journals, life.process) as journal,
        StagingManager.open(life.plan.settings()) as staging,
    ):
        story = read_end(life.plan.journals, life.process)
        life.marker.idle()
        _Producer(life, journal, staging, story).run()


@dataclass
class _Producer:
    life: Life
    journal: ProducerJournal
    staging: StagingManager
    story: Story
    waiting: deque[tuple[ProvableBatch, Future[Receipt]]] = field(default_factory=deque)

    def run(self) -> None:
        source = random.Random()  # unseeded: repetitions may differ from run to run
        window = _WINDOW if self.life.process % 2 else 1
        with self.life.marker.during(process_phases.SEND):
            for doubtful in self.story.in_doubt():
                self._send_until_acked(make_batch(self.life.plan.seed, self.life.process, doubtful))
        pause = _LONGEST_PAUSE * (_SLOWER if self.life.role is Role.EVOLVER else 1)
        number = self.story.next_number
        while not self.life.ending:
            with self.life.marker.during(process_phases.SEND):
                batch = make_batch(self.life.plan.seed, self.life.process, number)
                self.journal.intend(batch)
                self.waiting.append((batch, self._submit(batch)))
                self._collect(window - 1)
                if number > _SURELY_ACKED and source.random() < _AGAIN:
                    self._send_again(source.randrange(number - _SURELY_ACKED))
            number += 1
            clock.sleep(source.uniform(0, pause))
        self._collect(0)

    def _collect(self, leave: int) -> None:
        """Wait for receipts, oldest first, until at most `leave` are open."""
        while len(self.waiting) > leave:
            batch, future = self.waiting.popleft()
            try:
                receipt = future.result()
            except RetryLater as error:
                self.journal.refused(batch.number, str(error))
                if batch.key is None and not isinstance(error, QueueFull):
                    continue  # a commit whose answer was lost may have happened
                self._send_until_acked(batch)
            else:
                self._note(batch, receipt)

    def _send_again(self, number: int) -> None:
        """Send an acknowledged batch, perhaps published long ago, again: it must be recognised."""
        batch = make_batch(self.life.plan.seed, self.life.process, number)
        if batch.key is None:
            return
        receipt = self._send_until_acked(batch)
        if not receipt.duplicate:
            self.journal.complain(f"batch {batch.producer}/{number} of {batch.dataset} was accepted a second time")

    def _send_until_acked(self, batch: ProvableBatch) -> Receipt:
        """Returns the receipt; `RetryLater` means not staged, so the same key may be sent again at once."""
        while True:
            try:
                receipt = self._submit(batch).result()
            except RetryLater as error:
                self.journal.refused(batch.number, str(error))
                clock.sleep(0.05)
            else:
                self._note(batch, receipt)
                return receipt

    def _submit(self, batch: ProvableBatch) -> Future[Receipt]:
        return self.staging.submit(batch.dataset, batch.table, idempotency_key=batch.key, max_wait=_PATIENCE)

    def _note(self, batch: ProvableBatch, receipt: Receipt) -> None:
        self.journal.acked(batch.number, duplicate=receipt.duplicate)
        if receipt.rows != batch.rows:
            rows = f"{receipt.rows} of its {batch.rows} rows"
            self.journal.complain(f"batch {batch.producer}/{batch.number} of {batch.dataset}: receipt for {rows}")
