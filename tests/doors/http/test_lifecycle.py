"""However the server ends, acknowledged batches are published exactly once."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from tests.doors.http.serving import ARROW, Server, post, published, server, staged_batches, stream, table
from tests.services.forked import run_forked
from timestore_pipeline import Settings
from timestore_pipeline.doors.http.server import serve
from timestore_pipeline.system import clock

# Small in the suite, larger on demand.
PRODUCERS = int(os.environ.get("TIMESTORE_TEST_PRODUCERS", "8"))
ROWS = int(os.environ.get("TIMESTORE_TEST_ROWS", "20"))  # of a batch
SECONDS = float(os.environ.get("TIMESTORE_TEST_SECONDS", "1.5"))  # of all three lives of the server
MEMORY = 1 << 30  # bytes, the server with its reader processes, however many producers


@dataclass
class Producer:
    """Sends batch after batch under a key each, and repeats one until it has its answer."""

    name: int
    sent: list[int] = field(default_factory=list)  # first rows
    acked: list[int] = field(default_factory=list)

    def run(self, address: dict[str, str], stopped: threading.Event) -> None:
        with httpx.Client(timeout=60) as client:
            number = 0
            while not stopped.is_set():
                first = self.name * 10**9 + number * ROWS
                self.sent.append(first)
                body = stream(table(ROWS, first))
                while not stopped.is_set() and not self._send(client, address["url"], body, first):
                    clock.sleep(0.05)
                number += 1

    def _send(self, client: httpx.Client, url: str, body: bytes, first: int) -> bool:
        headers = {"content-type": ARROW, "idempotency-key": str(first)}
        try:
            answer = client.post(f"{url}/v1/datasets/d/batches", content=body, headers=headers)
        except httpx.TransportError:
            return False
        if answer.status_code in (200, 201):
            self.acked.append(first)
            return True
        assert answer.status_code in (429, 503), answer.text
        return False


def rows_of(batches: list[int]) -> list[int]:
    return sorted(number for first in batches for number in range(first, first + ROWS))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_is_ended_under_its_producers_loses_and_doubles_nothing(home: Path, number: int) -> None:
    producers = [Producer(name) for name in range(PRODUCERS)]
    address: dict[str, str] = {}
    stopped = threading.Event()
    threads = [threading.Thread(target=producer.run, args=(address, stopped)) for producer in producers]
    for life in range(3):
        with server(home, "--quiet") as running:
            address["url"] = running.url
            for thread in threads if life == 0 else ():
                thread.start()
            wait_for_acks(producers, life, running)
            stopped.wait(SECONDS / 3)
            assert running.resident_bytes() < MEMORY
            if life == 2:
                stopped.set()
                for thread in threads:
                    thread.join()
            assert running.stop(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    found = published(home)
    acked = rows_of([first for producer in producers for first in producer.acked])
    assert len(found) == len(set(found))
    assert set(acked) <= set(found)
    sent = rows_of([first for producer in producers for first in producer.sent])
    assert set(found) <= set(sent)
    assert len(found) % ROWS == 0, "a batch is staged as a whole"


def wait_for_acks(producers: list[Producer], life: int, running: Server) -> None:
    """Until every producer had its answer in this life of the server."""
    before = [len(producer.acked) for producer in producers]
    while any(len(producer.acked) < count + 3 for producer, count in zip(producers, before, strict=True)):
        assert running.process.is_running(), f"life {life}: {running.log.read_text()}"
        clock.sleep(0.05)


def test_sigterm_finishes_the_request_at_work_and_closes_the_journal(home: Path) -> None:
    with server(home) as running, running.connect() as connection:
        head = f"POST /v1/datasets/d/batches HTTP/1.1\r\nhost: localhost\r\ncontent-type: {ARROW}\r\n"
        head += "expect: 100-continue\r\n"
        body = stream(table())
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode())
        assert b"100 Continue" in connection.recv(1000)
        running.process.send_signal(signal.SIGTERM)
        connection.sendall(body)
        answer = connection.recv(65_536)
        assert b"201 Created" in answer
        assert running.process.wait() == 0
    [journal] = (home / "staging" / "journals").iterdir()
    with closing(sqlite3.connect(home / "staging" / "ledger.sqlite")) as ledger:
        assert ledger.execute("SELECT journal_id, state FROM journals").fetchall() == [(journal.stem, "closed")]
    assert staged_batches(home) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_ended_as_soon_as_it_is_heard_of_ends_in_order(home: Path, number: int) -> None:
    assert run_forked(serve_and_end, home, number) == 0
    assert list((home / "staging" / "spool").iterdir()) == []


def serve_and_end(home: Path, number: int) -> None:
    serve(Settings.build(home=home), "127.0.0.1", 0, lambda _url: signal.raise_signal(number))


def test_a_stopped_server_leaves_no_process_and_no_file_in_the_spool(home: Path) -> None:
    with server(home) as running:
        readers = running.readers()
        assert len(readers) == 2
        assert running.stop() == 0
    assert psutil.wait_procs(readers, timeout=60)[1] == []
    assert list((home / "staging" / "spool").iterdir()) == []


def test_a_killed_servers_readers_end_and_its_spool_is_removed_by_the_next(home: Path) -> None:
    with server(home) as running:
        readers = running.readers()
        running.stop(signal.SIGKILL)
    assert psutil.wait_procs(readers, timeout=60)[1] == []
    (old,) = (home / "staging" / "spool").iterdir()
    (old / "7").mkdir()
    with server(home) as running, running.client() as client:
        assert client.get("/ready").status_code == 200
        assert not old.exists()


def test_a_killed_reader_is_replaced(home: Path) -> None:
    with server(home) as running, running.client() as client:
        for reader in running.readers():
            reader.kill()
            reader.wait()
        assert {post(client, stream(table(5, n))).status_code for n in range(0, 50, 5)} <= {201, 400}
        assert post(client, stream(table(5, 100))).status_code == 201


def test_a_busy_port_is_reported_without_a_traceback(home: Path) -> None:
    with server(home) as running:
        port = str(running.address[1])
        with pytest.raises(AssertionError, match="cannot listen on"), server(home, "--port", port):
            pass
