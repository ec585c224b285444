"""What became of a dataset's types since its segments were written: numbers in `meta`.

Segments are never altered. Once a column has another type, or an object more fields, than an older segment holds,
exports and queries look at the types of each segment. Processes that stage remember types, and forget them when they
were changed.

`retyped/<dataset>`: how often a column took another type, so that values of the old one may not fit.
`grown/<dataset>`: an object got fields, or a type that waited was settled: whatever is staged fits.
`declared/<dataset>`: how often an operator has said something new about the schema.
"""

from __future__ import annotations

import sqlite3

_RETYPED, _GROWN, _DECLARED = "retyped/", "grown/", "declared/"


def mark_retyped(tx: sqlite3.Connection, dataset: str) -> None:
    _count(tx, _RETYPED + dataset)


def mark_grown(tx: sqlite3.Connection, dataset: str) -> None:
    _count(tx, _GROWN + dataset)


def mark_declared(tx: sqlite3.Connection, dataset: str) -> None:
    _count(tx, _DECLARED + dataset)


def segments_differ(tx: sqlite3.Connection, dataset: str) -> bool:
    """Whether segments may hold a column in another type than the dataset's record says."""
    return _sum(tx, _RETYPED, dataset) + _sum(tx, _GROWN, dataset) > 0


def times_changed(tx: sqlite3.Connection, dataset: str | None = None) -> int:
    """How often what is remembered of a dataset became wrong; of one dataset, or of all together."""
    if dataset is None:
        return _sum(tx, _RETYPED, None) + _sum(tx, _DECLARED, None)
    keys = (_RETYPED + dataset, _DECLARED + dataset)  # with each promise: one statement
    found = tx.execute("SELECT coalesce(sum(CAST(value AS INTEGER)), 0) AS times FROM meta WHERE key IN (?, ?)", keys)
    return int(found.fetchone()["times"])


def _count(tx: sqlite3.Connection, key: str) -> None:
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, '1') ON CONFLICT (key) DO UPDATE SET value = value + 1", (key,)
    )


def _sum(tx: sqlite3.Connection, prefix: str, dataset: str | None) -> int:
    first, last = (prefix, prefix + "\uffff") if dataset is None else (prefix + dataset,) * 2
    found = tx.execute(
        "SELECT coalesce(sum(CAST(value AS INTEGER)), 0) AS times FROM meta WHERE key BETWEEN ? AND ?", (first, last)
    )
    return int(found.fetchone()["times"])
