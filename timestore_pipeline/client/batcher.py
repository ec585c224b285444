"""Collects rows into batches by count, size and time, and sends each batch under a key of its own.

Every row is acknowledged, waiting, or handed back in an `UnsentRows`. A batch whose background send failed keeps
waiting under its key; the next call sends it again, and raises if that fails too.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import uuid
from collections import deque
from typing import TYPE_CHECKING

import pyarrow as pa

from timestore_pipeline.errors import InvalidInput, TimestoreError, UnsentRows
from timestore_pipeline.ingest.normalize import read_arrow
from timestore_pipeline.system import clock
from timestore_pipeline.system.context_managers import Closing

if TYPE_CHECKING:
    from timestore_pipeline.client.client import Client

_log = logging.getLogger(__name__)


class Batcher(Closing):
    """Collects rows into batches. Created by `Client.batcher`; thread-safe; `with` closes it.

    Every row is acknowledged, waiting, or handed back in an `UnsentRows`. While it sends, `add` waits: a slow server
    slows its producers down. A forked child cannot use it: parent and child would both send the waiting rows.
    """

    def __init__(self, client: Client, dataset: str, *, max_rows: int, max_bytes: int, max_age: float) -> None:
        if max_rows < 1 or max_bytes < 1 or max_age <= 0:
            raise InvalidInput("the limits of a batcher are above zero", hint="max_age is in seconds")
        self._client, self._dataset, self._process = client, dataset, os.getpid()
        self._max_rows, self._max_bytes, self._max_age = max_rows, max_bytes, max_age
        self._lock = threading.Condition(threading.RLock())
        self._open: list[pa.Table] = []  # of one schema
        self._open_rows = self._open_bytes = 0
        self._oldest = 0.0  # of the open rows, on the monotonic clock
        self._sealed: deque[tuple[str, pa.Table]] = deque()  # key and rows, not acknowledged yet
        self._failed_at: float | None = None  # when a background send failed; None = none did since the last success
        self._closed = False
        self._clock = threading.Thread(target=self._send_when_old, name="timestore-batcher", daemon=True)
        self._clock.start()
        atexit.register(self.close)  # a program that ends without closing still sends its rows, or reports an error

    @property
    def waiting_rows(self) -> int:
        """Rows that were added and are not acknowledged."""
        with self._lock:
            return sum(table.num_rows for table in (*self._open, *(rows for _, rows in self._sealed)))

    def add(self, data: object) -> None:
        """Add rows, and send them if a limit is reached.

        Args:
            data: Rows, as for `Client.send`.

        Raises:
            UnsentRows: Holds every row that is not acknowledged; the batcher has let go of them.
            InvalidData: Data of an unsupported kind; they are not added.
        """
        table = read_arrow(data)
        self._check_process()
        with self._lock:
            if self._closed:
                raise InvalidInput("the batcher is closed", hint="create a new one with Client.batcher")
            rows = self._rows_at_once(table)
            for start in range(0, table.num_rows, rows):
                self._take(table.slice(start, rows))
            if self._sealed:
                self._send()

    def flush(self) -> None:
        """Send the waiting rows; returns when all of them are durable.

        Raises:
            UnsentRows: As for `add`.
        """
        self._check_process()
        with self._lock:
            self._seal()
            self._send()

    def close(self) -> None:
        """Send the waiting rows and close. Idempotent.

        Raises:
            UnsentRows: As for `add`; the batcher is closed all the same.
        """
        if os.getpid() != self._process:
            return  # in a forked child, for example at its exit
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._lock.notify()
        atexit.unregister(self.close)
        self.flush()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            hint = "create one in each process, after the fork"
            raise InvalidInput("this batcher was made in another process", dataset=self._dataset, hint=hint)

    def _rows_at_once(self, table: pa.Table) -> int:
        """The most rows of one `add` that go into one batch: fewer if the rows are large."""
        fitting: int = self._max_bytes * table.num_rows // max(table.nbytes, 1)
        return max(min(self._max_rows, fitting), 1)

    def _take(self, table: pa.Table) -> None:
        """Rows of another schema begin a new batch: the server decides whether the schemas fit."""
        if self._open and not self._open[0].schema.equals(table.schema):
            self._seal()
        if not self._open:
            self._oldest = clock.monotonic()
            self._lock.notify()  # from now on there is an age to wait for
        self._open.append(table)
        self._open_rows += table.num_rows
        self._open_bytes += table.nbytes
        if self._open_rows >= self._max_rows or self._open_bytes >= self._max_bytes:
            self._seal()

    def _seal(self) -> None:
        """Seal the open rows as one batch, in one piece: each of a thousand small pieces would need its own header."""
        if self._open:
            self._sealed.append((uuid.uuid4().hex, pa.concat_tables(self._open).combine_chunks()))
            self._open, self._open_rows, self._open_bytes = [], 0, 0

    def _send(self) -> None:
        """Send in the caller's thread: rows that cannot be sent go back to the caller."""
        try:
            self._send_sealed()
        except TimestoreError as error:
            self._seal()
            unsent, self._sealed, self._failed_at = list(self._sealed), deque(), None
            rows = sum(table.num_rows for _, table in unsent)
            hint = f"they are in `batches`, each with its key; send them again with Client.send. {error.hint}".strip()
            raise UnsentRows(
                f"{rows} rows are not acknowledged: {error}", batches=unsent, dataset=self._dataset, hint=hint
            ) from error

    def _send_sealed(self) -> None:
        while self._sealed:
            key, table = self._sealed[0]
            self._client.send(self._dataset, table, idempotency_key=key)
            self._sealed.popleft()
        self._failed_at = None

    def _send_when_old(self) -> None:
        with self._lock:
            while not self._closed:
                self._lock.wait(self._seconds_left())
                if not self._closed and self._open and self._seconds_left() == 0:
                    self._send_in_background()

    def _seconds_left(self) -> float | None:
        """Until the oldest row is too old; None = no row waits, or a send failed and the next call has to report it."""
        if not self._open or self._failed_at is not None:
            return None
        return max(self._oldest + self._max_age - clock.monotonic(), 0.0)

    def _send_in_background(self) -> None:
        self._seal()
        try:
            self._send_sealed()
        except TimestoreError as error:
            self._failed_at = clock.monotonic()
            _log.warning("%d rows of %s wait: %s", self.waiting_rows, self._dataset, error)
