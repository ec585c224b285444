"""The ledger file for someone who looks and must change nothing: no file is made, no lock is waited for long.

A file in WAL mode that is open nowhere has no log beside it, and a read-only connection would leave one: such a file is
read as it lies. If a process opens it meanwhile, what was read may be torn, so it is then read once more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from timestore_pipeline.errors import UnreadableLedger
from timestore_pipeline.staging.ledger.database import translated

T = TypeVar("T")

_WAIT = 2.0  # seconds; readers of a WAL file wait for a checkpoint's last step and for recovery only


def look_at(path: Path, look: Callable[[sqlite3.Connection], T]) -> T:
    """What `look` finds; path: of a ledger that exists. Raises `AccessDenied`, `LedgerBusy` or `UnreadableLedger`."""
    quiet = not _log(path).exists()
    try:
        return _look_once(path, look)
    except UnreadableLedger:
        if not quiet or not _log(path).exists():
            raise
    return _look_once(path, look)


def uri_of(path: Path, options: str) -> str:
    """SQLite's name for a file: without quotes, `%20`, `?` and `#` in a folder's name would lead to another file."""
    return f"file:{quote(str(path))}?{options}"


def _look_once(path: Path, look: Callable[[sqlite3.Connection], T]) -> T:
    as_it_lies = "" if _log(path).exists() else "&immutable=1"
    with (
        translated(path),
        closing(sqlite3.connect(uri_of(path, f"mode=ro{as_it_lies}"), uri=True, timeout=_WAIT)) as connection,
    ):
        connection.row_factory = sqlite3.Row
        return look(connection)


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")
