"""Segments that a query keeps readable after a flush has unlinked them.

A segment is never written to again, so a hard link keeps its contents while a flush publishes and unlinks it. The space
is freed when the query ends. A killed query leaves its folder in the spool, which the next query or flush of any
dataset, the recovery sensor, or `timestore recover` removes; the doctor reports it. Guardrails on staged bytes do not
count segments that only a query holds, because a flush could not free them; the guardrail on free space does.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.segments import translated


class Pins:
    """Links to segments, in the query's own folder."""

    def __init__(self, area: StagingArea, folder: Path) -> None:
        self._area = area
        self._folder = folder
        self._pinned: set[str] = set()

    def pin(self, dataset: str, segment_id: str) -> None:
        """Link a segment; a missing one is skipped."""
        source = self.origin(dataset, segment_id)
        with translated(source, dataset), suppress(FileNotFoundError):
            _link(source, self.path(segment_id))
            self._pinned.add(segment_id)

    def has(self, segment_id: str) -> bool:
        return segment_id in self._pinned

    def path(self, segment_id: str) -> Path:
        return self._folder / f"{segment_id}.duckdb"

    def origin(self, dataset: str, segment_id: str) -> Path:
        """The segment's path in the staging directory."""
        return self._area.directory.segment(dataset, segment_id)

    def clear(self) -> None:
        """Remove all links."""
        for segment_id in self._pinned:
            self.path(segment_id).unlink()
        self._pinned.clear()


def _link(source: Path, target: Path) -> None:
    """A copy where the filesystem has no hard links, or the spool is on another filesystem."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
