"""A Delta table as its files say, read without the product and without deltalake: the log's JSON, replayed.

Where log cleanup has removed the beginning, a checkpoint stands for it.
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
    """What one version changed. `added`: files that bring rows; those of a compaction bring none.

    `complete_until`: the instant before which everything acknowledged is published by now, if the commit says so.
    """

    version: int
    added: tuple[Path, ...]
    complete_until: str | None = None


@dataclass(slots=True)
class PlainLog:
    """Follows one table's log, from its first version to the newest."""

    table: Path
    live: set[Path] = field(default_factory=set)
    next: int = 0  # above 0 from the start: somebody else has seen the ones before, and `live` lacks them
    skipped: int = 0  # versions that were gone before they were seen

    def advance(self) -> Iterator[Commit]:
        """Versions not seen before, oldest first; `live` follows. Nothing while there is no table."""
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
        """Go on behind the oldest checkpoint, when what comes next was removed; True = there is a next version."""
        found = {int(path.name[:20]): path for path in self._next_file.parent.glob("*.checkpoint.parquet")}
        later = [version for version in found if version >= self.next]
        if later and not self._next_file.exists():  # it was written before any of them, perhaps since we looked
            self.live = {self._path(add) for add in _adds(found[min(later)])}
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
    told = [json.loads(action["commitInfo"].get("timestore", "{}")) for action in actions if "commitInfo" in action]
    return next((metadata["complete_until"] for metadata in told if "complete_until" in metadata), None)


def _adds(checkpoint: Path) -> list[dict[str, Any]]:
    column = pq.ParquetFile(checkpoint).read(columns=["add.path"])["add"]
    return [add for add in column.to_pylist() if add is not None]
