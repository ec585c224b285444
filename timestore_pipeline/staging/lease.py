"""The claims a process works on, and the sign of life it gives while it does.

A lock file distinguishes a dead process from a living one, but not a stopped or hung one from one that works. So a
process that holds a claim records every few seconds that it still does, from a thread of its own; the claim itself
records the first sign of life. A claim whose owner has been silent for longer than the lease is settled like a dead
owner's. If its owner wakes up all the same, the ledger and the Delta log refuse its steps (`Fenced`), so a lease that
ended too early, after a jump of the clock for example, costs work and never a row.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.ledger.processes import Processes

LEASE = timedelta(seconds=60)
RENEW_EVERY = 5.0  # seconds; a dozen signs may be missed before another process takes the claim

_log = logging.getLogger(__name__)


def expired(heartbeat_at: datetime | None, now: datetime, lease: timedelta) -> bool:
    """Whether the last sign of life is too long ago; None = it never held a claim, then its lock alone counts.

    One that lies as far in the future was written before the clock was set back: a living owner would have replaced it.
    """
    return heartbeat_at is not None and abs(now - heartbeat_at) > lease


class HeldClaims:
    """What this process works on now; while that is anything, a thread renews the lease. Thread-safe."""

    def __init__(self, process_id: str, processes: Processes) -> None:
        self._process_id = process_id
        self._processes = processes
        self._changed = threading.Condition()
        self._refs: set[FlushRef] = set()
        self._kept = False  # renewed also while nothing is held
        self._thread: threading.Thread | None = None

    def add(self, ref: FlushRef) -> None:
        with self._changed:
            self._refs.add(ref)
            self._ensure_thread()

    def discard(self, ref: FlushRef) -> None:
        with self._changed:
            self._refs.discard(ref)
            self._changed.notify_all()

    def __contains__(self, ref: FlushRef) -> bool:
        with self._changed:
            return ref in self._refs

    def __iter__(self) -> Iterator[FlushRef]:
        with self._changed:
            return iter(sorted(self._refs, key=lambda ref: (ref.dataset, ref.epoch)))

    def keep_renewing(self) -> None:
        """Give signs of life until `close`, so that a process which waits for this one sees when it is stopped."""
        self._renew()
        with self._changed:
            self._kept = True
            self._ensure_thread()

    def close(self) -> None:
        """Give up all claims and wait for the thread."""
        with self._changed:
            self._refs.clear()
            self._kept = False
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="timestore-lease", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while self._is_needed_after_a_while():
            self._renew()

    def _is_needed_after_a_while(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: not self._refs and not self._kept, RENEW_EVERY)
            needed = bool(self._refs) or self._kept
            if not needed:
                self._thread = None
            return needed

    def _renew(self) -> None:
        try:
            self._processes.renew(self._process_id)
        except Exception as error:  # noqa: BLE001  # a dead thread would let the lease of every later claim expire
            _log.warning("the lease of process %s could not be renewed, trying again: %s", self._process_id, error)
