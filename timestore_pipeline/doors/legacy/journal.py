"""The contents that were imported into a dataset. Kept for ever, unlike idempotency keys, which have a retention.

One line per file, written once all its rows are durable. A crash before that leaves no line; the next import reads the
file again, and its keys skip the staged batches. A truncated line is ignored.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from timestore_pipeline.system import durable


class ImportJournal:
    """The journal of one dataset; safe for concurrent imports, because a line is one write."""

    def __init__(self, staging_directory: Path, dataset: str) -> None:
        self._path = staging_directory / "legacy" / f"{dataset}.imported"
        lines = self._path.read_text(errors="replace").splitlines() if self._path.exists() else []
        self._known = {line.split(" ")[0] for line in lines if line.endswith(" .")}

    def __contains__(self, content: str) -> bool:
        return content in self._known

    def add(self, content: str, rows: int) -> None:
        """Durable on return."""
        durable.make_folder(self._path.parent, private=True)
        descriptor = durable.open_private(self._path)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
            os.write(descriptor, f"\n{content} {rows} .".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        durable.sync(self._path.parent)
        self._known.add(content)
