"""One server bears all attacks in a row and is as it was before; one is killed under its producers and loses no row."""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.attacks.attacker import ATTACKS, Attacker
from benchmarks.attacks.target import Target
from demo.processes import free_port
from tests.doors.http.hostile import corpus
from tests.doors.http.serving import Server, post, server, stream, table
from tests.doors.http.test_hostile import send
from tests.services.certificates import certificate
from timestore_pipeline import Settings
from timestore_pipeline.client import Client, Retry
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

pytestmark = [pytest.mark.service, pytest.mark.slow]

_log = logging.getLogger(__name__)

TOKEN = "known-to-good-clients-and-some-attackers"
CONNECTIONS = 128  # of the server; fewer than usual, and so are those that an attack holds
SHARE = 0.25
ATTACK_SECONDS = 0.3
MIB = 1 << 20
KEPT_MEMORY = 192 * MIB  # that threads, buffers and the allocator keep after the first attacks
LEAKED_MEMORY = 24 * MIB  # between the first and the last time of all attacks
POOLED_THREADS = 20  # that pools start when they are needed, and keep
LONG_BODIES = "bodies that occupy the readers"
READERS = 4  # two for short bodies and two for long ones
PRODUCERS = 64
ROWS = 10  # of a batch
DATASETS = 8
PATIENT = Retry(patience=300.0, first=0.05, longest=0.5)
ENDS = (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL)
LONGEST = 300.0  # seconds; on a quiet machine it takes a few

Serve = Callable[[], AbstractContextManager[Server]]


@dataclass(frozen=True)
class Footprint:
    """Of the server's process alone; its readers are replaced when they need too much."""

    descriptors: int
    threads: int
    bytes: int

    @classmethod
    def of(cls, running: Server) -> Footprint:
        process = psutil.Process(running.process.pid)
        return cls(process.num_fds(), process.num_threads(), process.memory_info().rss)


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Each time on the same port and the same directory."""
    limits = {"connections": CONNECTIONS, "connections_of_one": CONNECTIONS}
    keys: dict[str, Any] = certificate(tmp_path).settings
    return partial(server, tmp_path, limits=limits, port=free_port(), api_token=TOKEN, **keys)


def good_batch(running: Server) -> None:
    with running.client(headers={"authorization": f"Bearer {TOKEN}"}) as client:
        answer = post(client, stream(table(ROWS)), dataset="beside")
        assert answer.status_code == 201, answer.text


def attack(running: Server, name: str, seconds: float = 0.0) -> None:
    """For so long, and once at least; a good batch is staged while the connections that it holds are open."""
    with closing(Attacker(name, Target(running.url, TOKEN, str(running.ca), SHARE))) as attacker:
        attacker.attack(seconds)
        good_batch(running)


def attacked(running: Server) -> None:
    """By every attack, one after the other, and every hostile body that once broke a reader."""
    for name in ATTACKS:
        attack(running, name, ATTACK_SECONDS)
    with running.client(headers={"authorization": f"Bearer {TOKEN}"}) as client:
        for sample in corpus():
            assert send(client, sample, "attacked").status_code < 500, sample[0]


def at_work(running: Server) -> Footprint:
    """Once all its readers have started: those for long bodies do with the first of them, and each has two pipes."""
    good_batch(running)
    while len(running.readers()) < READERS:
        attack(running, LONG_BODIES)
    return Footprint.of(running)


def at_rest(running: Server, quiet: Footprint) -> Footprint:
    """Once the connections of the attacks are closed; fails if they never are."""
    deadline = clock.monotonic() + LONGEST
    while Footprint.of(running).descriptors > quiet.descriptors:
        assert clock.monotonic() < deadline, (quiet, Footprint.of(running))
        clock.sleep(0.1)
    return Footprint.of(running)


@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.nightly)])
def test_after_all_attacks_in_a_row_it_is_as_it_was(serve: Serve, times: int) -> None:
    with serve() as running:
        quiet = at_work(running)
        attacked(running)
        first = last = at_rest(running, quiet)
        for _ in range(times - 1):
            attacked(running)
            last = at_rest(running, quiet)
        _log.info("quiet %s, after all attacks %s, after as many again %s", quiet, first, last)
        assert last.threads <= quiet.threads + POOLED_THREADS
        assert first.bytes < quiet.bytes + KEPT_MEMORY
        assert last.bytes < first.bytes + LEAKED_MEMORY
        assert "Traceback" not in running.log.read_text()
        assert "http request failed" not in running.log.read_text()
        assert running.stop() == 0


@dataclass
class Producer:
    """Sends batches of its own rows, and notes the numbers of those that were acknowledged."""

    number: int
    batches: int
    acknowledged: list[int]

    def produce(self, url: str, ca: str) -> None:
        with Client(url, token=TOKEN, ca_file=ca, retry=PATIENT) as client:
            for batch in range(self.batches):
                rows = table(ROWS, first=(self.number * self.batches + batch) * ROWS)
                client.send(f"d{self.number % DATASETS}", rows)
                self.acknowledged += rows["n"].to_pylist()


def sent(producers: Sequence[Producer]) -> int:
    return sum(len(producer.acknowledged) for producer in producers)


def published(home: Path) -> Iterator[int]:
    """The column `n` of all tables, once everything staged is flushed."""
    with Timestore(Settings.build(home=home)) as store:
        for dataset in (f"d{number}" for number in range(DATASETS)):
            while store.status(dataset).backlog.queued.batches:
                store.flush(dataset, Trigger.MANUAL, "test")
            yield from store.lake.table(dataset).to_arrow_dataset().to_table()["n"].to_pylist()


@pytest.mark.parametrize("batches", [6, pytest.param(120, marks=pytest.mark.nightly)])
def test_producers_of_a_server_that_is_ended_again_and_again(serve: Serve, tmp_path: Path, batches: int) -> None:
    producers = [Producer(number, batches, []) for number in range(PRODUCERS)]
    every = PRODUCERS * batches * ROWS
    threads = list[threading.Thread]()
    for life, end in enumerate([*ENDS, None]):
        with serve() as running:
            if not threads:
                threads = start(producers, running)
            if end is None:
                join(threads)
                assert running.stop() == 0
            else:
                while sent(producers) < every * (life + 1) // 5:
                    assert any(thread.is_alive() for thread in threads)
                    clock.sleep(0.005)
                running.stop(end)
    acknowledged = Counter(number for producer in producers for number in producer.acknowledged)
    assert sum(acknowledged.values()) == every
    assert Counter(published(tmp_path)) == acknowledged


def start(producers: Sequence[Producer], running: Server) -> list[threading.Thread]:
    threads = [threading.Thread(target=one.produce, args=(running.url, str(running.ca))) for one in producers]
    for thread in threads:
        thread.start()
    return threads


def join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join(LONGEST)
        assert not thread.is_alive()
