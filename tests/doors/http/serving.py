"""Real servers in processes of their own, and what tests send them.

A server is forked from the warm parent, where `timestore serve` is imported already; its readers are new Pythons.
"""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa

from tests.services.forked import FORKED, Forked, as_file
from tests.services.warm import run_program, timestore
from timestore_pipeline import Settings
from timestore_pipeline.cli.output import print_line
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.doors.http.server import serve
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

ROOT = Path(__file__).parents[3]
ARROW = "application/vnd.apache.arrow.stream"
CSV = {"content-type": "text/csv"}


@dataclass
class Server:
    """A running server."""

    process: Forked
    url: str
    log: Path
    ca: Path | None = None  # file of the certificate that signed its own; None = plain HTTP

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.partition("://")[2].split(":")
        return host, int(port)

    def client(self, **options: Any) -> httpx.Client:
        trusted: dict[str, Any] = {} if self.ca is None else {"verify": ssl.create_default_context(cafile=self.ca)}
        return httpx.Client(base_url=self.url, timeout=60, **trusted, **options)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait for its end."""
        self.process.send_signal(number)
        return self.process.wait()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=60)

    def logged(self, sign: str) -> str:
        """The one line with the sign; it is written after the answer has gone out."""
        deadline = clock.monotonic() + 60
        while not (lines := [line for line in self.log.read_text().splitlines() if sign in line]):
            assert clock.monotonic() < deadline, f"no line with {sign!r}"
            clock.sleep(0.02)
        (line,) = lines
        return line

    def readers(self) -> list[psutil.Process]:
        """Its reader processes, once it has started them."""
        with self.client() as client:
            assert client.get("/health").status_code == 200
        found: list[psutil.Process] = psutil.Process(self.process.pid).children()
        return found

    def resident_bytes(self) -> int:
        """Of the server and its reader processes."""
        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children()]
        return sum(process.memory_info().rss for process in processes)


@contextmanager
def server(
    home: Path, *options: str, limits: dict[str, Any] | None = None, port: int = 0, **settings: Any
) -> Iterator[Server]:
    """A server; port: 0 = any free one. settings: as `TIMESTORE_*` variables without the prefix."""
    names = {f"TIMESTORE_{name.upper()}": str(value) for name, value in settings.items()}
    environment = os.environ | {"TIMESTORE_HOME": str(home), "PYTHONPATH": str(ROOT)} | names
    log = home / "server.log"
    usual = partial(timestore, "serve", "--port", str(port), *options)
    command = usual if limits is None else partial(_serve_within, limits, port)
    from_output, its_output = FORKED.Pipe(duplex=False)
    process = Forked(_serve, command, its_output, log, environment)
    its_output.close()
    with as_file(from_output, "r") as output:
        try:
            announced = re.match(r"serving (https?://\S+)", output.readline())
            assert announced, log.read_text()
            yield Server(process, announced[1], log, settings.get("api_tls_certificate_file"))
        finally:
            process.kill()


def _serve(command: Callable[[], None], output: Connection, log: Path, environment: Mapping[str, str]) -> None:
    os.setsid()
    streams = [
        os.open(os.devnull, os.O_RDONLY),
        os.dup(output.fileno()),
        os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
    ]
    output.close()
    if code := run_program(command, streams, environment):
        sys.exit(code)


def _serve_within(given: Mapping[str, Any], port: int) -> None:
    """`timestore serve` with other limits than the usual ones."""
    settings = Settings.from_env()
    limits = Limits(settings.api_max_body_bytes, **given)
    serve(settings, "127.0.0.1", port, lambda url: print_line(f"serving {url}"), limits)


def table(rows: int = 10, first: int = 0) -> pa.Table:
    numbers = range(first, first + rows)
    start = datetime(2013, 1, 1, tzinfo=UTC)
    times = pa.array([start + timedelta(seconds=number % 100_000) for number in numbers], pa.timestamp("us", "UTC"))
    return pa.table({"at": times, "n": pa.array(numbers, pa.int64())})


def stream(rows: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def post(
    client: httpx.Client, body: bytes, content_type: str = ARROW, dataset: str = "d", **headers: str
) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v1/datasets/{dataset}/batches", content=body, headers={"content-type": content_type} | names)


def published(home: Path, dataset: str = "d") -> list[int]:
    """The column `n` of everything staged, once it is flushed."""
    with Timestore(Settings.build(home=home)) as store:
        store.flush(dataset, Trigger.MANUAL, "test")
        found: list[int] = store.lake.table(dataset).to_arrow_dataset().to_table()["n"].to_pylist()
        return sorted(found)


def staged_batches(home: Path) -> int:
    """Batches of all datasets that are not published."""
    with Timestore(Settings.build(home=home)) as store:
        return sum(status.backlog.queued.batches for status in store.statuses())
