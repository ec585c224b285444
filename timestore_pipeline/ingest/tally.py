"""Counts of drops and guardrail hits on their way to the ledger.

An overloaded producer is refused thousands of times a second; one ledger transaction for each would take the lock
from the writers it is waiting for. So counts gather here and are written a few times a second; `kill -9` loses at
most that moment's.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.staging.ledger.counters import Counters

_log = logging.getLogger(__name__)

Key = tuple[str, str, str, str]  # dataset, series, label name, label value


class Tally:
    """Thread-safe; `write` is called by one thread."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._lock = threading.Lock()
        self._waiting: Counter[Key] = Counter()

    def dropped(self, dataset: str, reason: str) -> None:
        self._add((dataset, "dropped_batches_total", "reason", reason))

    def guardrail_exceeded(self, dataset: str, guardrail: str) -> None:
        self._add((dataset, "guardrail_exceeded_total", "guardrail", guardrail))

    def write(self) -> None:
        """Move what gathered into the ledger; what cannot be written now stays for the next time."""
        with self._lock:
            waiting, self._waiting = self._waiting, Counter()
        for key, amount in waiting.items():
            self._write_one(key, amount)

    def _add(self, key: Key) -> None:
        with self._lock:
            self._waiting[key] += 1

    def _write_one(self, key: Key, amount: int) -> None:
        dataset, series, label, value = key
        try:
            self._counters.add(dataset, series, {label: value}, amount)
        except TimestoreError as error:
            _log.warning("counter %s of %s waits: %s", series, dataset, error)
            with self._lock:
                self._waiting[key] += amount
