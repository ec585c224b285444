"""The load of a simulation, and one producer of it, which sends its batches as fast as they are accepted.

    python -m timestore_pipeline.tools.simulate.load PLAN NUMBER

PLAN is the load as JSON. The producer records every answer. Every `RetryLater` is recorded as a drop, although the
batch is sent again: a producer without retries would have lost it. At the end, it prints its latencies as one line on
standard output.

Batches may have any size, and their rows are distinguishable. DuckDB makes them, so that making them adds little load;
they have the columns of the crash test's rows, and the same oracle judges them.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from timestore_pipeline.errors import RetryLater
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.model.batch import Receipt
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.system import clock
from timestore_pipeline.system.without_pandas import leave_pandas_out
from timestore_pipeline.tools.crashtest.producer_journal import ProducerJournal
from timestore_pipeline.tools.crashtest.schedule import ProvableBatch, checksum_sql, digest

SHARD = "simulation"

# Times within the last hour; the values are binary fractions, which every engine prints alike.
_ROWS = f"""
SELECT *, {checksum_sql([])} AS checksum
FROM (
    SELECT $producer::BIGINT AS producer, $batch::BIGINT AS batch, range AS "row", $rows::BIGINT AS "of",
        $until::TIMESTAMPTZ - to_microseconds((hash($producer, $batch, range) % 3600000000)::BIGINT) AS "at",
        'station ' || (hash(range, $producer) % 50) AS name,
        (hash($batch, range) % 100000)::DOUBLE / 4 AS value
    FROM range($rows)
)
ORDER BY "row"
"""

_WINDOW = 8  # receipts left open
_PATIENCE = 5.0  # seconds during which one batch is retried; then the producer gives up and exits


@dataclass(frozen=True, slots=True)
class Load:
    """`settings_in_force`: except for the places, as plain values; nothing outside `home` is touched.

    `batches`: of each producer, None = as many as it can send within `seconds`.
    """

    home: Path
    started_at: datetime
    settings_in_force: dict[str, Any]
    datasets: int = 3
    producers: int = 4
    rows: int = 1000  # of a batch
    batches: int | None = 50
    seconds: float = 10.0

    @classmethod
    def under(cls, settings: Settings, home: Path, started_at: datetime, **load: Any) -> Self:
        """home: absolute."""
        places = {"home": str(home), "staging_directory": str(home / "staging"), "lake_uri": str(home / "lake")}
        hidden = {"api_token", "pushgateway_url", "dagster_webserver_url"}  # a simulation must not call real services
        values = settings.model_dump(mode="json", exclude=hidden) | places | {"shard": SHARD}
        return cls(home, started_at, values, **load)

    @classmethod
    def from_json(cls, text: str) -> Self:
        document = json.loads(text)
        started_at = datetime.fromisoformat(document.pop("started_at"))
        return cls(home=Path(document.pop("home")), started_at=started_at, **document)

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"home": str(self.home), "started_at": self.started_at.isoformat()})

    @property
    def journals(self) -> Path:
        return self.home / "journals"

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    def names(self) -> list[str]:
        """Names of the datasets."""
        return [f"simulation-{number}" for number in range(self.datasets)]

    def settings(self) -> Settings:
        nowhere = {"api_token": None, "pushgateway_url": None, "dagster_webserver_url": None}
        return Settings.build(**self.settings_in_force | nowhere)


def make_batch(plan: Load, connection: duckdb.DuckDBPyConnection, producer: int, number: int) -> ProvableBatch:
    """The same plan, producer and number make the same batch. connection: its time zone must be UTC."""
    values = {"producer": producer, "batch": number, "rows": plan.rows, "until": plan.started_at}
    table: pa.Table = connection.sql(_ROWS, params=values).to_arrow_table()
    dataset = plan.names()[(producer + number) % plan.datasets]
    content = digest(table["checksum"].to_pylist())
    return ProvableBatch(producer, number, dataset, f"{producer}/{number}", plan.rows, content, table)


@dataclass
class _Producer:
    plan: Load
    number: int
    journal: ProducerJournal
    staging: StagingManager
    latencies: list[float] = field(default_factory=list)  # seconds from the call to the receipt
    waiting: deque[tuple[ProvableBatch, Future[Receipt]]] = field(default_factory=deque)

    def run(self) -> None:
        """Raises `RetryLater` when a batch is still refused after `_PATIENCE`."""
        began, sent = clock.monotonic(), 0
        with open_engine() as connection:
            while self._goes_on(sent, clock.monotonic() - began):
                batch = make_batch(self.plan, connection, self.number, sent)
                self.journal.intend(batch)
                self.waiting.append((batch, self._submit(batch)))
                self._collect(_WINDOW - 1)
                sent += 1
        self._collect(0)

    def _goes_on(self, sent: int, seconds: float) -> bool:
        return seconds < self.plan.seconds if self.plan.batches is None else sent < self.plan.batches

    def _submit(self, batch: ProvableBatch) -> Future[Receipt]:
        """A future; one that has failed already if the batch is refused at once."""
        began = clock.monotonic()
        try:
            future = self.staging.submit(batch.dataset, batch.table, idempotency_key=batch.key)
        except RetryLater as error:
            refused: Future[Receipt] = Future()
            refused.set_exception(error)
            return refused
        future.add_done_callback(partial(self._note_latency, began))
        return future

    def _collect(self, leave: int) -> None:
        while len(self.waiting) > leave:
            batch, future = self.waiting.popleft()
            deadline = clock.monotonic() + _PATIENCE
            while not self._is_settled(batch, future, deadline):
                future = self._submit(batch)

    def _is_settled(self, batch: ProvableBatch, future: Future[Receipt], deadline: float) -> bool:
        try:
            receipt = future.result()
        except RetryLater as error:
            self.journal.refused(batch.number, error.code)
            if clock.monotonic() > deadline:
                raise
            clock.sleep(min(error.retry_after.total_seconds(), 0.2))
            return False
        self.journal.acked(batch.number, duplicate=receipt.duplicate)
        return True

    def _note_latency(self, began: float, future: Future[Receipt]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.latencies.append(clock.monotonic() - began)


def main() -> None:
    """Run one producer; exit code 1 with the reason on standard error when it gave up."""
    leave_pandas_out()
    plan, number = Load.from_json(sys.argv[1]), int(sys.argv[2])
    with ProducerJournal(plan.journals, number) as journal, StagingManager.open(plan.settings()) as staging:
        producer = _Producer(plan, number, journal, staging)
        try:
            producer.run()
        except RetryLater as error:
            sys.exit(f"gave up after {_PATIENCE:g} s: {error} [{error.code}]")
        finally:
            sys.stdout.write(json.dumps([round(seconds, 6) for seconds in producer.latencies]) + "\n")


if __name__ == "__main__":
    main()
