"""Requests made from a kept corpus by mutation, and what must be true of a server that gets them.

The corpus is files: in `heads/` requests, in `bodies/` bodies that were found, named for their content type. What fails
is written there, so the next run begins with it.
"""

from __future__ import annotations

import hashlib
import random
import re
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.doors.http.hostile import Sample, variations
from tests.doors.http.serving import Server, post
from timestore_pipeline.system import clock

CORPUS = Path(__file__).parent / "corpus"
PATIENCE = 60.0  # seconds until a connection whose client sends no more is closed
PIECES = 4  # packets of a request at most

_STATUS = re.compile(rb"(?:^|[}\n])HTTP/1\.1 (\d{3}) ")
_REFUSED = {400, 401, 403, 404, 405, 408, 409, 411, 413, 415, 421, 422, 429, 431, 501, 503}
_ANSWERED = _REFUSED | {100, 200, 201, 202}
_RESET = struct.pack("ii", 1, 0)
_DICTIONARY = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b"\xff", b" ", b"\t", b":", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1",
    b"HTTP/1.0", b"HTTP/2.0", b"GET", b"PUT", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"/", b"//", b"%00",
    b"%2e%2e/", b"?wait=nan", b"?wait=1e999", b"?wait=0.01", b"*", b"http://localhost/v1/datasets", b"chunked, chunked",
    b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n", b"connection: upgrade\r\nupgrade: websocket\r\n",
    b"expect: 100-continue\r\n", b"content-encoding: gzip\r\n", b"origin: null\r\n", b"host: localhost\r\n",
    b"connection: close\r\n", b"authorization: Bearer \xff\r\n", b"idempotency-key: \xc3\xa9\r\n",
    b"x-request-id: ;\r\n", b"content-type: text/csv; delimiter=\"\r\n", b"99999999999999999999999999", b"\xe2\x80\xae",
)  # fmt: skip


class Failed(AssertionError):
    """The server did what it must not do; the request is in the corpus."""


@dataclass
class Fuzzer:
    """Sends one request after the other to a running server; `kept` gets those that fail."""

    running: Server
    seed: int
    kept: Path = CORPUS

    def head(self) -> Iterator[Callable[[], None]]:
        """For ever: requests that are hardly HTTP."""
        chance = random.Random(self.seed)
        heads = [path.read_bytes() for path in sorted((CORPUS / "heads").iterdir())]
        while True:
            yield lambda: self.send_head(_mutated(chance, heads), chance)

    def body(self) -> Iterator[Callable[[], None]]:
        """For ever: bodies that are hardly Parquet, Arrow, gzip, JSON or CSV."""
        for sample in variations(self.seed):
            yield lambda sample=sample: self.send_body(sample)  # type: ignore[misc]

    def send_head(self, request: bytes, chance: random.Random) -> None:
        """Raises `Failed` for an answer that is a server error or none of HTTP, and if there is no end."""
        answer = self._answer(request, chance)
        statuses = [int(status) for status in _STATUS.findall(answer)]
        if (answer and not statuses) or not set(statuses) <= _ANSWERED:
            raise self._failed("heads", "request.http", request, f"{statuses}: {answer[:500]!r}")

    def send_body(self, sample: Sample) -> None:
        """Raises `Failed` for a server error."""
        _, content_type, body, packed = sample
        encoding = {"content_encoding": "gzip"} if packed else {}
        with self.running.client() as client:
            answer = post(client, body, content_type, "fuzzed", **encoding)
        if answer.status_code not in _ANSWERED:
            name = f"{content_type.replace('/', '-')}{'-gzip' if packed else ''}.bin"
            raise self._failed("bodies", name, body, f"{answer.status_code}: {answer.text[:500]}")

    def _answer(self, request: bytes, chance: random.Random) -> bytes:
        pieces = _pieces(chance, request)
        answer = bytearray()
        with self.running.connect() as connection, suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
            if chance.random() < 0.05:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return b""
            with suppress(OSError):  # it has been closed already; what was answered can still be read
                connection.shutdown(socket.SHUT_WR)
            connection.settimeout(PATIENCE)
            try:
                while piece := connection.recv(1 << 16):
                    answer += piece
            except TimeoutError as error:
                raise self._failed("heads", "request.http", request, "the connection stays open") from error
        return bytes(answer)

    def _failed(self, folder: str, name: str, content: bytes, why: str) -> Failed:
        path = self.kept / folder / f"{hashlib.sha256(content).hexdigest()[:12]}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Failed(f"{path}: {why}")


def check_unharmed(running: Server) -> None:
    """It is ready, and its log has no bug."""
    deadline = clock.monotonic() + PATIENCE
    with running.client() as client:
        while client.get("/ready").status_code != 200:
            assert clock.monotonic() < deadline
    text = running.log.read_text()
    for sign in ("Traceback", "http request failed"):
        assert sign not in text, text[max(0, text.find(sign) - 200) :][:2_000]


def _mutated(chance: random.Random, heads: Sequence[bytes]) -> bytes:
    request = bytearray(chance.choice(heads))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        place = chance.randrange(len(request) + 1)
        end = min(len(request), place + chance.choice((1, 1, 2, 8, 100)))
        match chance.randrange(7):
            case 0:
                request[place:end] = b""
            case 1:
                request[place:end] = request[place:end] * chance.choice((2, 2, 100, 3_000))
            case 2:
                request[place:end] = chance.randbytes(end - place)
            case 3 | 4:
                request[place:place] = chance.choice(_DICTIONARY)
            case 5:
                request[place:] = chance.choice(heads)[chance.randrange(100) :]
            case 6:
                request += chance.choice(heads)
    return bytes(request[: 1 << 20])


def _pieces(chance: random.Random, request: bytes) -> list[bytes]:
    cuts = sorted(chance.randrange(len(request) + 1) for _ in range(chance.randrange(PIECES)))
    return [request[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(request)], strict=True)]
