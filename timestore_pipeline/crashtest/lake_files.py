"""A Delta table as its files say, read without the product and without deltalake: the log's JSON, replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Commit:
    """What one version changed. `added`: files that bring rows; those of a compaction bring none."""

    version: int
    added: tuple[Path, ...]


@dataclass(slots=True)
class PlainLog:
    """Follows one table's log, from its first version to the newest."""

    table: Path
    live: set[Path] = field(default_factory=set)
    next: int = 0  # above 0 from the start: somebody else has seen the ones before, and `live` lacks them

    def advance(self) -> Iterator[Commit]:
        """Versions not seen before, oldest first; `live` follows. Nothing while there is no table."""
        while (file := self.table / "_delta_log" / f"{self.next:020}.json").exists():
            yield self._apply([json.loads(line) for line in file.read_text().splitlines() if line])

    def _apply(self, actions: list[dict[str, Any]]) -> Commit:
        adds = [action["add"] for action in actions if "add" in action]
        self.live -= {self._path(action["remove"]) for action in actions if "remove" in action}
        self.live |= {self._path(add) for add in adds}
        self.next += 1
        return Commit(self.next - 1, tuple(self._path(add) for add in adds if add.get("dataChange", True)))

    def _path(self, action: dict[str, Any]) -> Path:
        return self.table / unquote(action["path"])
