"""Where the rows of a compacted file come from: which shard's flushes, and how many rows of each.

The origins are in the file's own footer. The commits that replaced the flushes' files are removed in time, with the
log; the footer stays with the rows, is read by every shard, and is merged into the next footer when the file is
compacted again. So each flush can be traced into the table for as long as the table lasts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from timestore_pipeline.errors import Corrupted
from timestore_pipeline.lake.layout import written_by

FlushOrigin = tuple[str, int]  # shard and epoch


@dataclass(frozen=True, slots=True)
class Origins:
    """Rows by flush."""

    rows: Mapping[FlushOrigin, int]

    @classmethod
    def of_flush_file(cls, path: str, rows: int) -> Self:
        """Origins of a file that names its flush; none for any other file."""
        origin = written_by(path)
        return cls({} if origin is None else {origin: rows})

    @classmethod
    def merged(cls, parts: Iterable[Origins]) -> Self:
        total: dict[FlushOrigin, int] = {}
        for part in parts:
            for origin, rows in part.rows.items():
                total[origin] = total.get(origin, 0) + rows
        return cls(total)

    @classmethod
    def from_note(cls, note: str, path: str) -> Self:
        """Read back from a footer; raise `Corrupted` when the text is not `to_note`'s."""
        try:
            shards = json.loads(note)["origins"]
            return cls({(shard, int(epoch)): int(n) for shard, flushes in shards.items() for epoch, n in flushes})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            hint = "nothing was changed; restore the file from a backup"
            raise Corrupted(f"the footer of {path} does not name the flushes of its rows", hint=hint) from error

    def to_note(self) -> str:
        """For the footer: shard -> [[epoch, rows], ...], epochs ascending."""
        shards: dict[str, list[list[int]]] = {}
        for (shard, epoch), rows in sorted(self.rows.items()):
            shards.setdefault(shard, []).append([epoch, rows])
        return json.dumps({"origins": shards}, separators=(",", ":"))

    def of_shard(self, shard: str) -> Iterator[tuple[int, int]]:
        """(epoch, rows) of one shard's flushes."""
        return ((epoch, rows) for (found, epoch), rows in self.rows.items() if found == shard)

    def checked(self, path: str, rows: int) -> Self:
        """Itself; raise `Corrupted` when it does not account for all rows of the file."""
        if (traced := sum(self.rows.values())) != rows:
            hint = "nothing was changed; keep the file and run `timestore verify --deep`"
            raise Corrupted(f"{path} has {rows} rows, and its footer names the flushes of {traced}", hint=hint)
        return self
