"""`Client`: for producers that reach timestore over the network.

A receipt means durable, as in Python. A batch whose answer may have been lost is sent again under the same idempotency
key, so it is staged once however often it is sent.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import pyarrow as pa

from timestore_pipeline.client.answers import FlushAnswer, error_of, flush_answer_of, receipt_of
from timestore_pipeline.client.batcher import Batcher
from timestore_pipeline.client.http_connection import ServerConnection
from timestore_pipeline.errors import InvalidInput, NotAcknowledged, RetryLater
from timestore_pipeline.ingest.normalize import read_arrow
from timestore_pipeline.model.batch import Receipt, check_idempotency_key
from timestore_pipeline.model.dataset import check_dataset_name
from timestore_pipeline.system import clock
from timestore_pipeline.system.context_managers import Closing

_ARROW = "application/vnd.apache.arrow.stream"
_ENDS_THE_WAIT = {"flushed", "nothing_staged", "blocked"}  # the server waits for no other dataset then, either
_TOKEN = re.compile(r"[!-~]+")

Answer = TypeVar("Answer")


class Client(Closing):
    """Sends batches to one server. Thread-safe; concurrent senders wait for each other. `with` closes it."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        retry: Retry | None = None,
        ca_file: str | None = None,
    ) -> None:
        """Connects with the first batch, not before.

        Args:
            url: The address of `timestore serve`, such as `https://ingest:8451`.
            token: A token of the server; None = it requires none.
            timeout: Seconds to connect, as many to send a batch, and as many until its answer is complete.
            retry: How long to try again, and how often; None = `Retry()`.
            ca_file: PEM file with the certificates that may have signed the server's; None = those of the system.

        Raises:
            InvalidInput: The address or the token is malformed, or the file cannot be used.
        """
        self._connection = ServerConnection(url, timeout, ca_file)
        if token and _TOKEN.fullmatch(token) is None:  # the message does not show it: it may be a secret all the same
            raise InvalidInput("the token is malformed", hint="printable ASCII characters without blanks")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout
        self._retry = retry or Retry()

    def send(self, dataset: str, data: object, *, idempotency_key: str | None = None) -> Receipt:
        """Stage one batch and wait until it is durable; tries again for as long as `Retry` says.

        Args:
            dataset: Its name; the first batch creates it.
            data: Anything with the Arrow PyCapsule interface (pyarrow, Polars, pandas, DuckDB) or an iterable of dicts,
                one a row.
            idempotency_key: 1 to 512 printable characters; None = generated, so that a retry is never a second batch.

        Raises:
            RetryLater: The last answer when the time for retries was over. The batch is not staged.
            NotAcknowledged: The same, and the batch may be staged; send it again under the error's `idempotency_key`.
                Also for an answer that is no receipt for this dataset and this number of rows.
            InvalidInput: At once, because a retry would not help.
            Conflict: At once, because a retry would not help.
        """
        key = uuid.uuid4().hex if idempotency_key is None else idempotency_key
        _check_key(key)
        table = read_arrow(data)
        batch = _Batch(check_dataset_name(dataset), table.num_rows, _stream(table), key)
        return self._tried_again(lambda: self._post(batch))

    def flush(self, dataset: str | None = None, *, wait: float = 0.0) -> FlushAnswer:
        """Ask the flush sensor to publish what is staged now, paused or not, and wait until it has.

        Args:
            dataset: Its name; None = every dataset that the token may flush.
            wait: Seconds; 0 = only ask. The request stands when the time is over.

        Raises:
            UnknownDataset: Nothing was ever staged under this name.
            RetryLater: The last answer when the time for retries was over.
            NotAcknowledged: The same, and the request may stand.
            Forbidden: The token may not flush.
        """
        path = "/v1/flush" if dataset is None else f"/v1/datasets/{quote(check_dataset_name(dataset))}/flush"
        return self._flushed(path, wait)

    def drain(self, *, wait: float = 60.0) -> FlushAnswer:
        """The same for every dataset that the token may flush, and for batches that arrive meanwhile.

        Args:
            wait: Seconds until nothing is pending or in flight any more.

        Raises:
            RetryLater: As `flush`.
            NotAcknowledged: As `flush`.
            Forbidden: As `flush`.
        """
        return self._flushed("/v1/drain", wait)

    def batcher(
        self, dataset: str, *, max_rows: int = 10_000, max_bytes: int = 8_000_000, max_age: float = 1.0
    ) -> Batcher:
        """Collect rows into batches, each sent when it reaches a limit, at `flush` and at `close`.

        Args:
            dataset: Its name.
            max_rows: Rows of a batch.
            max_bytes: Size of a batch as Arrow data; below the server's `TIMESTORE_API_MAX_BODY_BYTES`.
            max_age: Seconds that a row waits.

        Raises:
            InvalidInput: A limit that is not above zero, or a malformed name.
        """
        return Batcher(self, check_dataset_name(dataset), max_rows=max_rows, max_bytes=max_bytes, max_age=max_age)

    def close(self) -> None:
        """Close the connection. Idempotent; close batchers before, for they still send."""
        self._connection.close()

    def _flushed(self, path: str, wait: float) -> FlushAnswer:
        """Asks several times if need be: no answer may take longer than `timeout`."""
        end = clock.monotonic() + wait
        while True:
            left = max(end - clock.monotonic(), 0.0)
            answer = self._tried_again(partial(self._ask, f"{path}?wait={min(left, self._timeout / 2):.3f}"))
            if answer.done or clock.monotonic() >= end or set(answer.outcomes.values()) <= _ENDS_THE_WAIT:
                return answer

    def _ask(self, path: str) -> FlushAnswer:
        answer = self._connection.post(path, b"", self._headers)
        if answer.status not in (200, 202):
            raise error_of(answer.status, answer.document, answer.retry_after)
        return flush_answer_of(answer.document)

    def _tried_again(self, call: Callable[[], Answer]) -> Answer:
        deadline, tries = clock.monotonic() + self._retry.patience, 0
        while True:
            try:
                return call()
            except (RetryLater, NotAcknowledged) as error:
                tries += 1
                asked = error.retry_after.total_seconds() if isinstance(error, RetryLater) else 0.0
                delay = self._retry.delay(tries, asked)
                if clock.monotonic() + delay > deadline:
                    raise
                clock.sleep(delay)

    def _post(self, batch: _Batch) -> Receipt:
        key = batch.key.encode().decode("latin-1")  # a header's value: the key's UTF-8 bytes, one character each
        headers = self._headers | {"Content-Type": _ARROW, "Idempotency-Key": key}
        try:
            answer = self._connection.post(f"/v1/datasets/{quote(batch.dataset)}/batches", batch.body, headers)
            if answer.status not in (200, 201):
                raise error_of(answer.status, answer.document, answer.retry_after)
            return receipt_of(answer.document, batch.dataset, batch.rows)
        except NotAcknowledged as error:
            error.idempotency_key = batch.key
            raise


@dataclass(frozen=True, slots=True)
class _Batch:
    dataset: str
    rows: int
    body: memoryview  # an Arrow stream
    key: str


def _stream(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def _check_key(key: str) -> None:
    """HTTP strips blanks at the ends of a header's value, and a line end in a key would begin another header."""
    check_idempotency_key(key)
    if not key.isprintable() or key != key.strip():
        raise InvalidInput(
            f"idempotency key {key!r:.80} cannot be sent in a header",
            hint="use printable characters, and no blank at its ends",
        )


@dataclass(frozen=True, slots=True)
class Retry:
    """When to try again. The wait doubles after each attempt; the server's `Retry-After` counts if it is longer.

    Attributes:
        patience: Seconds from the first attempt, after which the last error is raised; 0 = no retry.
        first: Seconds before the second attempt.
        longest: Seconds between two attempts, at most.
    """

    patience: float = 60.0
    first: float = 0.1
    longest: float = 10.0

    def delay(self, tries: int, retry_after: float = 0.0) -> float:
        """Seconds until the next attempt, jittered, so that a thousand producers do not retry at once.

        Args:
            tries: Failed attempts, at least one.
            retry_after: Seconds that the server asks for.
        """
        usual = clock.backoff(self.first, tries, self.longest)
        return max(random.uniform(0.5, 1.0) * usual, retry_after)
