"""What SQLite still reads of a damaged ledger: every table forward by its key until a page fails, then backward.

The damaged file is never opened itself, because opening replays and empties its log; a copy is. What does not fit its
column, or refers to something that is gone, is left out.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from timestore_pipeline.errors import UnreadableLedger
from timestore_pipeline.staging.ledger.database import Database, marks, translated
from timestore_pipeline.staging.ledger.inspection import uri_of

_PARENTS_FIRST = ("datasets", "incidents")
_NOT_KEPT = ("processes", "volumes")  # all of them are dead; totals are counted again
_OF_THE_FILE = ("format_version", "shard")  # facts that the new file states itself
_KINDS = {"INTEGER": (int,), "TEXT": (str,), "BLOB": (bytes,), "REAL": (float, int)}

Salvaged = dict[str, int]  # table -> rows


def copy_remains(source: Path, target: Path) -> bool:
    """Copy a ledger with its log; False when there is none."""
    for suffix in ("", "-wal"):
        if (remains := source.with_name(source.name + suffix)).exists():
            shutil.copyfile(remains, target.with_name(target.name + suffix))
    return target.exists() and target.stat().st_size > 0


def salvage(source: Path, target: Database) -> Salvaged:
    """Bring everything readable of the copy `source` into the new ledger; nothing when SQLite does not know it."""
    found: Salvaged = {}
    with closing(sqlite3.connect(source)) as connection:
        connection.row_factory = sqlite3.Row
        for table in _tables(target):
            found[table] = _salvage_table(connection, target, table)
    return found


def shard_of(source: Path) -> str | None:
    """The shard a copy says it belongs to; None = it cannot tell."""
    with closing(sqlite3.connect(source)) as connection:
        try:
            row = connection.execute("SELECT value FROM meta WHERE key = 'shard'").fetchone()
        except sqlite3.Error:
            return None
    return None if row is None else str(row[0])


def is_sound(path: Path, *, used: bool) -> bool:
    """Whether SQLite finds the file whole; a value that was flipped inside a row is for `timestore verify` to find.

    used: True = it must have its tables. Raises what keeps SQLite from reading a file that may be sound.
    """
    try:
        with translated(path), closing(sqlite3.connect(uri_of(path, "mode=rw"), uri=True)) as connection:
            [(verdict,)] = connection.execute("PRAGMA integrity_check(1)").fetchall()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except UnreadableLedger:
        return False
    return bool(verdict == "ok") and (not used or "counters" in tables)


def _tables(target: Database) -> list[str]:
    rows = target.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
    names = [row["name"] for row in rows if row["name"] not in _NOT_KEPT]
    return sorted(names, key=lambda name: name not in _PARENTS_FIRST)


def _salvage_table(source: sqlite3.Connection, target: Database, table: str) -> int:
    kept = 0
    columns = {row["name"]: row for row in target.rows(f"PRAGMA table_info({table})")}
    with target.transaction() as tx:
        for row in _rows(source, table, columns):
            values = {name: row[name] for name in row.keys() if name in columns}  # noqa: SIM118
            if not _fits(values, columns) or (table == "meta" and values["key"] in _OF_THE_FILE):
                continue
            try:
                tx.execute(
                    f"INSERT OR REPLACE INTO {table} ({', '.join(values)}) VALUES ({marks(values)})",
                    list(values.values()),
                )
            except sqlite3.IntegrityError:
                continue
            kept += 1
    return kept


def _rows(source: sqlite3.Connection, table: str, columns: dict[str, sqlite3.Row]) -> Iterator[sqlite3.Row]:
    """Each readable row once at least; the two directions meet at the damage."""
    keys = [name for name, column in columns.items() if column["pk"]]
    for direction in ("ASC", "DESC"):
        order = ", ".join(f"{key} {direction}" for key in keys)
        if (yield from _until_damaged(source, f"SELECT * FROM {table} ORDER BY {order}")):
            return


def _until_damaged(source: sqlite3.Connection, query: str) -> Any:
    """The rows up to the damage; True = there was none."""
    try:
        yield from source.execute(query)
    except (sqlite3.Error, UnicodeDecodeError):
        return False
    return True


def _fits(values: dict[str, Any], columns: dict[str, sqlite3.Row]) -> bool:
    for name, column in columns.items():
        value = values.get(name)
        if value is None and (column["notnull"] or column["pk"]) and column["dflt_value"] is None:
            return False
        if value is not None and not isinstance(value, _KINDS[column["type"]]):
            return False
    return True
