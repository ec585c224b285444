"""How often a dataset's types were changed since its segments were written, in columns of `datasets`.

Segments are never altered. Once a column has another type, or an object more fields, than an older segment holds,
exports and queries look at the types of each segment. Processes that stage keep types in memory, and read them again
after a change.

`times_retyped`: a column took another type, so that values of the old one may not fit.
`times_grown`: an object got fields, or a type that waited was settled: everything staged fits.
`times_declared`: an operator declared something new about the schema.
"""

from __future__ import annotations

import sqlite3

_TIMES_CHANGED = "types_changed"  # in `meta`: of all datasets together, because every batch asks for it


def mark_retyped(tx: sqlite3.Connection, dataset: str) -> None:
    _count(tx, dataset, "times_retyped")
    _count_of_all(tx)


def mark_grown(tx: sqlite3.Connection, dataset: str) -> None:
    _count(tx, dataset, "times_grown")


def mark_declared(tx: sqlite3.Connection, dataset: str) -> None:
    _count(tx, dataset, "times_declared")
    _count_of_all(tx)


def segments_differ(tx: sqlite3.Connection, dataset: str) -> bool:
    """Whether segments may hold a column in another type than the dataset's record says."""
    return _times(tx, "times_retyped + times_grown", dataset) > 0


def times_changed(tx: sqlite3.Connection, dataset: str | None = None) -> int:
    """How often types kept in memory became wrong; of one dataset, or of all together."""
    if dataset is not None:
        return _times(tx, "times_retyped + times_declared", dataset)
    row = tx.execute("SELECT CAST(value AS INTEGER) AS times FROM meta WHERE key = ?", (_TIMES_CHANGED,)).fetchone()
    return 0 if row is None else int(row["times"])


def _count(tx: sqlite3.Connection, dataset: str, column: str) -> None:
    tx.execute(f"UPDATE datasets SET {column} = {column} + 1 WHERE name = ?", (dataset,))


def _count_of_all(tx: sqlite3.Connection) -> None:
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, '1') ON CONFLICT (key) DO UPDATE SET value = value + 1",
        (_TIMES_CHANGED,),
    )


def _times(tx: sqlite3.Connection, sum_of: str, dataset: str) -> int:
    row = tx.execute(f"SELECT {sum_of} AS times FROM datasets WHERE name = ?", (dataset,)).fetchone()
    return 0 if row is None else int(row["times"])
