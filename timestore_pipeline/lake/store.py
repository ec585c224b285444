"""The files of one table: written whole and durable or not at all.

Local: a file is written beside its target under a name that readers ignore, flushed to disk, renamed, and the folder
flushed, so that after a power loss it is there in full or not at all. A crash before the rename leaves an unreferenced
`_tmp-` file. Many files at once are written in a `_tmp-` folder and take the same steps side by side.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

from timestore_pipeline.system.durable import make_folder, move_all, replacing


class FileStore(Protocol):
    """Files under the root of one table; every name is relative to it, with '/' between folders, not URL-encoded."""

    @property
    def root(self) -> Path | None:
        """The folder, when the store is one; None = an object store, whose writes are durable when acknowledged."""

    def receiving(self, relative: str) -> AbstractContextManager[Path]:
        """A local path to write to; a normal exit makes the file durable as `relative`, an error removes it."""

    def workshop(self) -> AbstractContextManager[Path]:
        """An empty local folder for writing many files; the exit removes it with its remaining files."""

    def receive_all(self, files: Mapping[str, Path]) -> None:
        """Take files from a workshop and make them durable under these names: all of them, or after an error none."""

    def remove_abandoned(self, before: datetime) -> None:
        """Delete temporary files of crashed processes that were last written to before an instant."""

    def read(self, relative: str) -> bytes:
        """The whole file; raise `FileNotFoundError`."""

    def size(self, relative: str) -> int:
        """Bytes; raise `FileNotFoundError`."""

    def exists(self, relative: str) -> bool: ...

    def delete(self, relative: str) -> None:
        """Remove a file; one that is gone already is fine."""

    def list(self, folder: str = "") -> list[str]:
        """Names of the entries of a folder, files and folders, sorted; empty when there is no such folder."""


class LocalStore:
    """A folder of the local filesystem."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path | None:
        return self._root

    @contextmanager
    def receiving(self, relative: str) -> Iterator[Path]:
        target = self._root / relative
        make_folder(target.parent)
        with replacing(target) as temporary:
            yield temporary

    @contextmanager
    def workshop(self) -> Iterator[Path]:
        make_folder(self._root)
        folder = self._root / f"_tmp-{uuid.uuid4().hex[:12]}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def receive_all(self, files: Mapping[str, Path]) -> None:
        move_all({self._root / relative: path for relative, path in files.items()})

    def remove_abandoned(self, before: datetime) -> None:
        for path in [*self._root.glob("_tmp-*"), *self._root.glob("*/_tmp-*")]:
            with suppress(FileNotFoundError):  # another process has finished or removed it
                if path.stat().st_mtime < before.timestamp():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def read(self, relative: str) -> bytes:
        return (self._root / relative).read_bytes()

    def size(self, relative: str) -> int:
        return (self._root / relative).stat().st_size

    def exists(self, relative: str) -> bool:
        return (self._root / relative).exists()

    def delete(self, relative: str) -> None:
        (self._root / relative).unlink(missing_ok=True)

    def list(self, folder: str = "") -> list[str]:
        path = self._root / folder
        return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
