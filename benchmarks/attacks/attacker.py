"""Carries out one attack, round after round, in several threads."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from functools import partial

from benchmarks.attacks import bodies, connections
from benchmarks.attacks.connections import THREADS, Attack, Prepare
from benchmarks.attacks.target import Target

ATTACKS: Mapping[str, Prepare] = {**connections.ATTACKS, **bodies.ATTACKS}


class Attacker:
    """`close` ends the connections that it holds open."""

    def __init__(self, name: str, target: Target) -> None:
        self._target = target
        self._attacks = [ATTACKS[name](target) for _ in range(THREADS)]

    def attack(self, seconds: float) -> int:
        """For so long, and one round at least; returns how many there were."""
        counts = [0] * THREADS
        repeat = partial(self._repeat, time.monotonic() + seconds, counts)
        threads = [threading.Thread(target=repeat, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts)

    def close(self) -> None:
        while self._target.held:
            self._target.held.pop().close()

    def _repeat(self, end: float, counts: list[int], number: int) -> None:
        attack: Attack = self._attacks[number]
        while not counts[number] or time.monotonic() < end:
            counts[number] += 1
            try:
                attack()
            except ConnectionRefusedError:
                raise  # no server is there
            except (OSError, http.client.HTTPException):
                continue  # the server may end a connection at any moment
