"""What a batch over HTTP costs, as a ratio to the same batch in this process, measured in turns in one run.

A server of its own, one connection that is kept alive, then eight; the Python client and its `batcher` over a real
connection. Run it with `make bench`; it exits 1 when a bound is missed.
"""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow as pa

from benchmarks.enqueue import rows
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.client import Client

ROUNDS = 5
TIMES = 60  # of each way in a round
CONNECTIONS = 8
SECONDS = 3.0  # that they send
BATCHER_ROWS = 100_000
MOST_TIMES_ENQUEUE = 5.0  # a request of ten rows on a connection kept alive, medians

_HEADERS = {"Content-Type": "application/vnd.apache.arrow.stream"}


class Door:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url = url
        self._process = psutil.Process(process.pid)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.url.removeprefix("http://"))

    def cpu_seconds(self) -> float:
        """Of the server and its reader processes."""
        times = [process.cpu_times() for process in (self._process, *self._process.children())]
        return sum(taken.user + taken.system for taken in times)


@contextmanager
def door(home: Path) -> Iterator[Door]:
    command = (sys.executable, "-m", "timestore_pipeline", "serve", "--port", "0", "--quiet")
    environment = os.environ | {"TIMESTORE_HOME": str(home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Door(process, process.stdout.readline().split()[-1])
        process.terminate()


def post(connection: http.client.HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/v1/datasets/door/batches", body, _HEADERS)
    answer = connection.getresponse()
    told = answer.read()
    assert answer.status == 201, told


def stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def milliseconds(call: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - started))
    return taken


def in_turns(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        call()
    for _ in range(ROUNDS):
        for name, call in ways.items():
            taken[name] += milliseconds(call)
    return {name: statistics.median(times) for name, times in taken.items()}


def eight(server: Door, body: bytes) -> tuple[float, float]:
    """Batches a second, and milliseconds of the server's CPU for each."""
    sent = [0] * CONNECTIONS
    end = time.perf_counter() + SECONDS

    def send(number: int) -> None:
        connection = server.connect()
        while time.perf_counter() < end:
            post(connection, body)
            sent[number] += 1

    before = server.cpu_seconds()
    threads = [threading.Thread(target=send, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(sent) / SECONDS, 1000 * (server.cpu_seconds() - before) / sum(sent)


def batched(client: Client) -> float:
    """Rows a second through a `batcher`, ten at a time."""
    table = rows(10)
    started = time.perf_counter()
    with client.batcher("door") as batcher:
        for _ in range(BATCHER_ROWS // 10):
            batcher.add(table)
    return BATCHER_ROWS / (time.perf_counter() - started)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with (
            door(home / "server") as server,
            StagingManager.open(Settings.build(home=home / "here")) as staging,
            Client(server.url) as client,
        ):
            ratio = measure(server, staging, client)
    sys.exit(ratio > MOST_TIMES_ENQUEUE)


def measure(server: Door, staging: StagingManager, client: Client) -> float:
    """Prints everything; the ratio that has a bound."""
    print("| rows | enqueue here, ms | POST, ms | client, ms | POST / enqueue | 8 connections, batches/s | CPU, ms |")
    print("|---|---|---|---|---|---|---|")
    ratios = []
    for count in (10, 1_000):
        table, connection = rows(count), server.connect()
        body = stream(table)
        ways: dict[str, Callable[[], object]] = {
            "enqueue": lambda table=table: staging.enqueue("door", table),  # type: ignore[misc]
            "post": lambda connection=connection, body=body: post(connection, body),  # type: ignore[misc]
            "client": lambda table=table: client.send("door", table),  # type: ignore[misc]
        }
        found = in_turns(ways)
        pace, cpu = eight(server, body)
        ratios.append(found["post"] / found["enqueue"])
        times = " | ".join(f"{found[name]:.2f}" for name in ways)
        print(f"| {count:,} | {times} | {ratios[-1]:.2f} | {pace:,.0f} | {cpu:.2f} |")
    print(f"batcher, 10 rows at a time: {batched(client):,.0f} rows/s")
    print(f"10 rows: {ratios[0]:.2f} times an enqueue in this process; at most {MOST_TIMES_ENQUEUE}")
    return ratios[0]


if __name__ == "__main__":
    main()
