"""Segments that a query holds on to, whatever becomes of the files.

A segment is never written to again, so a second name for the same file keeps it as it is while a flush publishes
and unlinks it. The space returns when the query ends. A query that is killed leaves its folder in the spool, to be
removed by the next query or flush of any dataset, the recovery sensor, or `timestore recover`; the doctor tells of it.
No guardrail on staged bytes counts what only a query holds: a flush could not free it. The one on free space does.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.segments import translated


class Pins:
    """Links to segments, in a folder of the query's own."""

    def __init__(self, area: StagingArea, folder: Path) -> None:
        self._area = area
        self._folder = folder
        self._pinned: set[str] = set()

    def pin(self, dataset: str, segment_id: str) -> None:
        """Hold on to a segment; one that is not there (any more) is left out."""
        source = self.origin(dataset, segment_id)
        with translated(source, dataset), suppress(FileNotFoundError):
            _link(source, self.path(segment_id))
            self._pinned.add(segment_id)

    def has(self, segment_id: str) -> bool:
        return segment_id in self._pinned

    def path(self, segment_id: str) -> Path:
        return self._folder / f"{segment_id}.duckdb"

    def origin(self, dataset: str, segment_id: str) -> Path:
        """Where the segment lies for everybody else."""
        return self._area.directory.segment(dataset, segment_id)

    def clear(self) -> None:
        """Let go of all of them."""
        for segment_id in self._pinned:
            self.path(segment_id).unlink()
        self._pinned.clear()


def _link(source: Path, target: Path) -> None:
    """A copy where the filesystem has no second names, or the spool lies on another one."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
