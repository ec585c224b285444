"""A good client beside an attack: what it sends is staged, and it waits hardly longer than on a quiet server."""

from __future__ import annotations

import logging
import statistics
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tests.doors.http.serving import Server, post, stream, table
from timestore_pipeline.system import clock

_log = logging.getLogger(__name__)

REQUESTS = 60  # of the good client, on the quiet server and beside the attack
TIMES = 10  # longer than its quiet p99 may that beside the attack be
LEAST = 0.25  # seconds; on two busy cores a quiet p99 below this says little


@dataclass
class GoodClient:
    """Sends batches of ten rows one after the other, on one connection, and asks for `/ready` now and then."""

    server: Server
    count: int = 0
    refused: list[str] = field(default_factory=list)

    def p99(self, requests: int = REQUESTS) -> float:
        """Seconds."""
        with self.server.client() as client:
            return statistics.quantiles([self._seconds(client) for _ in range(requests)], n=100)[-1]

    def _seconds(self, client: httpx.Client) -> float:
        self.count += 1
        started = clock.monotonic()
        answer = post(client, stream(table(10, 10 * self.count)), dataset="good", idempotency_key=uuid.uuid4().hex)
        took = clock.monotonic() - started
        if answer.status_code != 201:
            self.refused.append(answer.text)
        if self.count % 20 == 0 and client.get("/ready").status_code != 200:
            self.refused.append("/ready")
        return took


def check_beside(running: Server, attack: Callable[[], None], attackers: int = 1) -> None:
    """attack: one round of it, repeated by each attacker until the good client has sent all it has.

    The first round is over before anything is measured, and quiet is measured before and after: other processes of the
    machine come and go.
    """
    good, over = GoodClient(running), threading.Event()
    good.p99(10)  # connects, and makes the dataset
    attack()
    before = good.p99()

    def attacker() -> None:
        while not over.is_set():
            attack()

    threads = [threading.Thread(target=attacker) for _ in range(attackers)]
    for thread in threads:
        thread.start()
    try:
        under_attack = good.p99()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    quiet = max(before, good.p99())
    _log.info("p99 quiet %.0f ms, beside the attack %.0f ms", 1000 * quiet, 1000 * under_attack)
    assert good.refused == []
    assert under_attack < TIMES * max(quiet, LEAST)
