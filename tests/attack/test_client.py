"""The client trusts no server: whatever answers, and however slowly, the rows come back with their key."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, repeat

import pyarrow as pa
import pytest

from tests.client.scripted import RECEIPT
from tests.doors.http.serving import table
from timestore_pipeline.client import Client, Retry
from timestore_pipeline.client.answers import error_of
from timestore_pipeline.errors import NotAcknowledged, TimestoreError, UnsentRows
from timestore_pipeline.system import clock

TIMEOUT = 1.0  # seconds, of the client
LONGEST = 15.0  # seconds that a send may take, on a busy machine
MOST_MEMORY = 200 << 20
ROWS = table(3)
HEAD = b"HTTP/1.1 201 Created\r\n"

Answer = Callable[[], Iterator[bytes]]


@contextmanager
def hostile(answer: Answer) -> Iterator[str]:
    """Its address. It reads a head and a little more, then sends what `answer` yields until the client hangs up."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.settimeout(LONGEST)
                connection.recv(1 << 20)
                for piece in answer():
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        stack.callback(thread.join)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def cause_of(answer: Answer, rows: pa.Table = ROWS) -> BaseException | None:
    """Why the rows came back; fails if they did not, or took long, or much memory."""
    started = clock.monotonic()
    tracemalloc.start()
    try:
        with hostile(answer) as url, Client(url, timeout=TIMEOUT, retry=Retry(patience=0)) as client:
            batcher = client.batcher("d", max_bytes=1 << 30, max_age=3600.0)
            batcher.add(rows)
            with pytest.raises(UnsentRows) as unsent:
                batcher.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert clock.monotonic() - started < LONGEST
    assert peak < MOST_MEMORY
    [(key, handed_back)] = unsent.value.batches
    assert handed_back.equals(rows)
    cause = unsent.value.__cause__
    assert not isinstance(cause, NotAcknowledged) or cause.idempotency_key == key
    return cause


def whole(body: bytes, status: bytes = b"201 Created") -> Answer:
    head = b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
    return lambda: iter((head, body))


ROW_COUNTS: list[object] = [True, "3", 3.0, None, [3], -3, 4, 2**64]
DATASETS: list[object] = ["other", "D", None, ["d"]]
BATCHES: list[object] = ["", 7, {}, "\x1b[2J", "\ud800"]
BYTES = [-8, 2**63, 10**4_000]
DEEP = b'{"columns": ' + b'{"a": ' * 500 + b"0" + b"}" * 501
TIMES: list[object] = ["2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "yesterday", 0]


def of(**members: object) -> bytes:
    return json.dumps(RECEIPT | {"rows": ROWS.num_rows} | members).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 900_000, id="lists in lists"),
        pytest.param(b'{"a":' * 200_000, id="objects in objects"),
        pytest.param(b'{"rows":' + b"9" * 100_000 + b"}", id="a long number"),
        pytest.param(b"[" + b"[]," * 300_000 + b"[]]", id="many lists"),
        pytest.param(b"\xff\xfe" + b"\x00" * 1000, id="no text"),
        pytest.param(of(rows=3).replace(b'"rows": 3', b'"rows": 1e999'), id="infinite rows"),
        pytest.param(of(bytes=0).replace(b'"bytes": 0', b'"bytes": NaN'), id="not a number of bytes"),
        *(pytest.param(of(rows=value), id=f"{value!r} rows") for value in ROW_COUNTS),
        *(pytest.param(of(dataset=value), id=f"of {value!r}") for value in DATASETS),
        *(pytest.param(of(batch_id=value), id=f"batch {value!r}") for value in BATCHES),
        *(pytest.param(of(bytes=value), id=f"bytes of {value.bit_length()} bits") for value in BYTES),
        pytest.param(of(duplicate="no"), id="duplicate or not"),
        *(pytest.param(of(staged_at=value), id=f"at {value!r}") for value in TIMES),
        pytest.param(of(decided=[]), id="decided by a list"),
        pytest.param(of(decided=0).replace(b'"decided": 0', b'"decided": ' + DEEP), id="decided by a deep object"),
        pytest.param(of(decided={"columns": [[]]}), id="columns that are a list"),
        pytest.param(of(warnings="abc"), id="a warning that is no list"),
        pytest.param(of(warnings=[{}]), id="a warning that is no text"),
    ],
)
def test_what_is_no_receipt_for_these_rows_acknowledges_nothing(body: bytes) -> None:
    assert isinstance(cause_of(whole(body)), NotAcknowledged)


def slowly(pieces: Iterator[bytes], seconds: float = TIMEOUT / 20) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        clock.sleep(seconds)


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
RECEIVED = of()

ENDLESS: dict[str, Answer] = {
    "a status line": lambda: repeat(b"H" * 65_536),
    "a header": lambda: chain([HEAD + b"x: "], repeat(b"y" * 60_000)),
    "headers": lambda: chain([HEAD], repeat(b"x: y\r\n" * 1000)),
    "interim answers": lambda: repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "a body": lambda: chain([HEAD + b"\r\n"], repeat(b" " * 65_536)),
    "a body of a length": lambda: chain([HEAD + b"content-length: 1" + b"0" * 30 + b"\r\n\r\n"], repeat(b" " * 65_536)),
    "chunks of a byte": lambda: chain([CHUNKED], repeat(b"1\r\nx\r\n" * 1000)),
    "a chunk": lambda: chain([CHUNKED + b"f" * 60 + b"\r\n"], repeat(b" " * 65_536)),
    "a chunk below zero": lambda: chain([CHUNKED + b"-5\r\n"], repeat(b" " * 65_536)),
    "trailers": lambda: chain([CHUNKED + b"0\r\n"], repeat(b"x: y\r\n" * 1000)),
    "a drip of a status line": lambda: slowly(repeat(b"H")),
    "a drip of headers": lambda: slowly(chain([HEAD], repeat(b"x: y\r\n"))),
    "a drip of interim answers": lambda: slowly(repeat(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "a drip of a body": lambda: slowly(chain([HEAD + b"content-length: 1000\r\n\r\n"], repeat(b" "))),
    "a drip of chunks": lambda: slowly(chain([CHUNKED], repeat(b"1\r\n \r\n"))),
    "a drip of a receipt": lambda: slowly(
        chain([HEAD + b"content-length: %d\r\n\r\n" % len(RECEIVED)], (bytes([byte]) for byte in RECEIVED))
    ),
    "silence": lambda: slowly(repeat(b"", 60)),
}


@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_without_an_end_is_given_up(answer: Answer) -> None:
    assert isinstance(cause_of(answer), NotAcknowledged)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x16\x03\x01" * 100,
        b"HTTP/1.1 99999 x\r\n\r\n",
        b"HTTP/9.9\r\n\r\n",
        HEAD + b"\x00: \xff\r\n\r\n" + of()[:20],
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n" + b"x" * 1000,
        b"HTTP/1.1 204 No Content\r\n\r\n" + of(),
        HEAD + b"content-encoding: gzip\r\ncontent-length: 26\r\n\r\n" + gzip.compress(b"{}" * 3, mtime=0),
        HEAD + b"content-length: 5\r\ncontent-length: 500\r\n\r\n" + of(),
        HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n" + of(),
        HEAD + b"content-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>",
    ],
)
def test_what_is_no_answer_is_none(answer: bytes) -> None:
    assert isinstance(cause_of(lambda: iter((answer,))), NotAcknowledged)


def test_a_server_that_reads_a_body_drop_by_drop_is_given_up() -> None:
    """It reads nothing more after the first packet; what the system keeps for it is far less than the body."""
    rows = pa.table({"text": ["x" * 1_000_000] * 32})
    assert isinstance(cause_of(lambda: slowly(repeat(b"", 60)), rows), NotAcknowledged)


@pytest.mark.parametrize(
    "status", [b"301 Moved Permanently", b"303 See Other", b"307 Temporary Redirect", b"308 Again"]
)
def test_no_redirect_is_followed(status: bytes) -> None:
    """To another server, which would get the token and the rows."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        place = b"location: http://127.0.0.1:%d/v1/datasets/d/batches\r\n" % other.getsockname()[1]
        answer = b"HTTP/1.1 %s\r\n%scontent-length: 2\r\n\r\n{}" % (status, place)
        assert isinstance(cause_of(lambda: iter((answer,))), TimestoreError)
        with pytest.raises(BlockingIOError):
            other.accept()


RETRY_AFTER = [b"nan", b"inf", b"-1", b"1e999", b"9" * 5_000, b"Thu, 01 Jan 1970 00:00:00 GMT", b"\xb2", b""]


@pytest.mark.parametrize("wait", RETRY_AFTER, ids=lambda wait: repr(wait)[:20])
def test_no_time_to_wait_keeps_the_client_for_ever(wait: bytes) -> None:
    answer = b"HTTP/1.1 429 Busy\r\nretry-after: %s\r\ncontent-length: 2\r\n\r\n{}" % wait
    assert isinstance(cause_of(lambda: iter((answer,))), TimestoreError)


@pytest.mark.parametrize("status", [b"302 Found", b"409 Conflict", b"500 Bug", b"507 Full"])
@pytest.mark.parametrize(
    "document",
    [
        {"code": "unsent_rows", "detail": "x" * 1_000_000, "hint": ["h"]},
        {"code": {"a": 1}, "detail": 7, "hint": None, "dataset": [1]},
        {"code": "schema_conflict", "column": [1], "existing": None},
        {"code": "guardrail_exceeded", "guardrail": {}, "dataset": 5},
        {"code": "shard_conflict"},
    ],
)
def test_a_refusal_of_any_form_is_an_error_of_the_library(status: bytes, document: dict[str, object]) -> None:
    cause = cause_of(whole(json.dumps(document).encode(), status))
    assert isinstance(cause, TimestoreError)
    assert len(str(cause)) < 5_000


def kinds(base: type[TimestoreError]) -> Sequence[type[TimestoreError]]:
    return [base, *chain.from_iterable(map(kinds, base.__subclasses__()))]


@pytest.mark.parametrize("kind", kinds(TimestoreError), ids=lambda kind: str(kind.code))
def test_every_code_has_an_error(kind: type[TimestoreError]) -> None:
    assert isinstance(error_of(400, {"code": kind.code}, 1.0), TimestoreError)


def test_a_detail_as_deep_as_can_be_read_is_not_printed() -> None:
    deep = b'{"code": "conflict", "detail": ' + b"[" * 900 + b"]" * 900 + b"}"
    assert "gave no reason" in str(cause_of(whole(deep, b"409 Conflict")))
