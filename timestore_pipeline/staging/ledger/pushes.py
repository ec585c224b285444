"""The results of pushes to a Pushgateway, by any process: one JSON document in `meta`.

Runs, sensor ticks and commands push on behalf of the same shard, so the result of one spares the others the wait for a
gateway that does not answer. A process that dies between a push and its record leaves one push uncounted.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from timestore_pipeline.staging.ledger.database import Database, instant_or_none
from timestore_pipeline.system import clock

_STATE = "metrics_push"
_ENDED = "flushes_ended"


@dataclass(frozen=True, slots=True)
class PushState:
    """Instants are microseconds since the Unix epoch; None = never."""

    begun_at: int | None = None  # the one under way; None = there is none
    tried_at: int | None = None
    pushed_at: int | None = None  # the instant of the ledger that the gateway has
    flushes_ended: int = 0  # when the last push that succeeded read the ledger
    failures: int = 0  # ever
    failures_in_a_row: int = 0

    @property
    def pushed(self) -> datetime | None:
        return instant_or_none(self.pushed_at)

    @property
    def tried(self) -> datetime | None:
        return instant_or_none(self.tried_at)


class Pushes:
    """Rows of the `meta` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self) -> PushState:
        row = self._database.row("SELECT value FROM meta WHERE key = ?", (_STATE,))
        return _state(row)

    def flushes_ended(self) -> int:
        """How many flushes of all datasets have ended so far, published or aborted."""
        row = self._database.row("SELECT value FROM meta WHERE key = ?", (_ENDED,))
        return 0 if row is None else int(row["value"])

    def begin(self, deadline: timedelta) -> bool:
        """Record that a push begins; False when another one is in progress, begun less than the deadline ago.

        Two at once could arrive in the wrong order, and a counter would go back.
        """
        now = clock.to_micros(clock.now())
        with self._database.transaction() as tx:
            before = _read(tx)
            if before.begun_at is not None and 0 <= now - before.begun_at < deadline / timedelta(microseconds=1):
                return False
            _write(tx, replace(before, begun_at=now))
            return True

    def succeeded(self, flushes_ended: int, as_of: datetime) -> int:
        """flushes_ended: as read for the push, after `as_of`. Returns how many pushes had failed in a row before it."""
        now, pushed_at = clock.to_micros(clock.now()), clock.to_micros(as_of)
        with self._database.transaction() as tx:
            before = _read(tx)
            ended = max(flushes_ended, before.flushes_ended)
            after = replace(before, begun_at=None, tried_at=now, pushed_at=pushed_at, flushes_ended=ended)
            _write(tx, replace(after, failures_in_a_row=0))
            return before.failures_in_a_row

    def failed(self) -> int:
        """Returns how many have failed in a row now."""
        now = clock.to_micros(clock.now())
        with self._database.transaction() as tx:
            before = _read(tx)
            failures, in_a_row = before.failures + 1, before.failures_in_a_row + 1
            after = replace(before, begun_at=None, tried_at=now)
            _write(tx, replace(after, failures=failures, failures_in_a_row=in_a_row))
            return in_a_row


def count_flush(tx: sqlite3.Connection) -> None:
    """A flush ends in this transaction: what was pushed before is out of date."""
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, '1')"
        " ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1",
        (_ENDED,),
    )


def _read(tx: sqlite3.Connection) -> PushState:
    return _state(tx.execute("SELECT value FROM meta WHERE key = ?", (_STATE,)).fetchone())


def _state(row: sqlite3.Row | None) -> PushState:
    return PushState() if row is None else PushState(**json.loads(row["value"]))


def _write(tx: sqlite3.Connection, state: PushState) -> None:
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (_STATE, json.dumps(asdict(state))),
    )
