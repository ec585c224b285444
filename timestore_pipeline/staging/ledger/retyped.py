"""How often columns of a dataset were given the type they are published with: a number each in `meta`.

Segments are never altered, so the older ones of such a dataset hold another type than its record says.
"""

from __future__ import annotations

import sqlite3

_PREFIX = "retyped/"


def mark_retyped(tx: sqlite3.Connection, dataset: str) -> None:
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, '1') ON CONFLICT (key) DO UPDATE SET value = value + 1",
        (_PREFIX + dataset,),
    )


def times_retyped(tx: sqlite3.Connection, dataset: str | None = None) -> int:
    """Of one dataset, or of all together."""
    first, last = (_PREFIX, _PREFIX + "\uffff") if dataset is None else (_PREFIX + dataset,) * 2
    found = tx.execute(
        "SELECT coalesce(sum(CAST(value AS INTEGER)), 0) AS times FROM meta WHERE key BETWEEN ? AND ?", (first, last)
    )
    return int(found.fetchone()["times"])
