"""A Delta table's state, replayed from the log's JSON, without the product and without deltalake.

Where log cleanup has removed the first versions, a checkpoint replaces them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class Commit:
    """The changes of one version. `added`: files with new rows; files of a compaction have none.

    `complete_until`: every batch acknowledged before this instant is published, if the commit names one.
    """

    version: int
    added: tuple[Path, ...]
    complete_until: str | None = None


@dataclass(slots=True)
class PlainLog:
    """Follows one table's log, from its first version to the newest."""

    table: Path
    live: set[Path] = field(default_factory=set)
    next: int = 0  # above 0 at the start: an earlier reader has read the versions before, and `live` lacks them
    skipped: int = 0  # versions that were removed before they were read

    def advance(self) -> Iterator[Commit]:
        """The versions not read yet, oldest first; updates `live`. Empty while there is no table."""
        while self._next_file.exists() or self._skip():
            lines = self._next_file.read_text().splitlines()
            yield self._apply([json.loads(line) for line in lines if line])

    def next_since(self) -> datetime | None:
        """When the next version was written; None = there is none yet."""
        try:
            return datetime.fromtimestamp(self._next_file.stat().st_mtime, UTC)
        except FileNotFoundError:
            return None

    @property
    def _next_file(self) -> Path:
        return self.table / "_delta_log" / f"{self.next:020}.json"

    def _skip(self) -> bool:
        """Continue after the oldest checkpoint if the next version was removed; True = there is a next version."""
        found = {int(path.name[:20]): path for path in self._next_file.parent.glob("*.checkpoint.parquet")}
        later = [version for version in found if version >= self.next]
        if later and not self._next_file.exists():  # the file may have appeared since the caller's check
            column = pq.ParquetFile(found[min(later)]).read(columns=["add.path"])["add"]
            self.live = {self._path(add) for add in column.to_pylist() if add is not None}
            self.skipped += min(later) + 1 - self.next
            self.next = min(later) + 1
        return self._next_file.exists()

    def _apply(self, actions: list[dict[str, Any]]) -> Commit:
        adds = [action["add"] for action in actions if "add" in action]
        self.live -= {self._path(action["remove"]) for action in actions if "remove" in action}
        self.live |= {self._path(add) for add in adds}
        self.next += 1
        added = tuple(self._path(add) for add in adds if add.get("dataChange", True))
        return Commit(self.next - 1, added, _complete_until(actions))

    def _path(self, action: dict[str, Any]) -> Path:
        return self.table / unquote(action["path"])


def _complete_until(actions: list[dict[str, Any]]) -> str | None:
    ours = [json.loads(action["commitInfo"].get("timestore", "{}")) for action in actions if "commitInfo" in action]
    return next((metadata["complete_until"] for metadata in ours if "complete_until" in metadata), None)
