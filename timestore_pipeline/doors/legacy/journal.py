"""Which contents were imported into a dataset, for ever: idempotency keys are forgotten after their retention.

One line per file, written once all its rows are durable. A crash before that leaves no line; the next import goes
through the file again and its keys skip what is staged. A line that was cut short counts for nothing.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from timestore_pipeline.system import durable


class ImportJournal:
    """One dataset's; safe for two imports at once, since a line is written in one piece."""

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
