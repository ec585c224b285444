"""Where a lake lives, and the files of one table: written whole and durable or not at all.

A lake is a folder (path or file://) or a prefix of a bucket (s3://).

Local: a file is written beside its target under a name that readers ignore, flushed to disk, renamed, and the folder
flushed, so that after a power loss it is there in full or not at all. A crash before the rename leaves an unreferenced
`_tmp-` file. Many files at once are written in a `_tmp-` folder and take the same steps side by side.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from timestore_pipeline.errors import InvalidInput, RetryLater
from timestore_pipeline.system.durable import make_folder, move_all, replacing

_CHUNK = 8 * 1024 * 1024  # bytes of an upload held in memory
_CONCURRENT_UPLOADS = 8  # of small files, which spend their time on round trips


@dataclass(frozen=True, slots=True)
class Location:
    """A folder of the lake; `uri` is what deltalake takes, `path` what a file store takes."""

    uri: str  # an absolute path, or s3://bucket/prefix
    path: str  # the same path, or bucket/prefix
    filesystem: fs.FileSystem | None  # None = the local filesystem

    @classmethod
    def parse(cls, uri: str, options: Mapping[str, str]) -> Location:
        """Raise `InvalidInput` for an unsupported scheme."""
        scheme, rest = uri.split("://", 1) if "://" in uri else ("", uri)
        if scheme == "s3" and rest.strip("/"):
            path = rest.strip("/")
            return cls(f"s3://{path}", path, s3_filesystem(options))
        if scheme not in ("", "file") or not rest:
            raise InvalidInput(
                f"{uri!r} is not a location for a lake", hint="give a path, file:///folder or s3://bucket/prefix"
            )
        local = str(Path(unquote(urlsplit(uri).path) if scheme else rest).expanduser().absolute())
        return cls(local, local, None)

    def child(self, name: str) -> Location:
        """The folder `name` in this one."""
        return replace(self, uri=f"{self.uri}/{name}", path=f"{self.path}/{name}")

    def store(self, spool: Path | None = None) -> FileStore:
        """The files of this folder; `spool` holds files for a bucket until they are uploaded."""
        if self.filesystem is None:
            return LocalStore(Path(self.path))
        return ObjectStore(self.filesystem, self.path, spool)

    def root(self) -> fs.FileSystem:
        """This folder as the root of an Arrow filesystem."""
        return fs.SubTreeFileSystem(self.path, self.filesystem or fs.LocalFileSystem())


class FileStore(Protocol):
    """Files under the root of one table; every name is relative to it, with '/' between folders, not URL-encoded."""

    @property
    def root(self) -> Path | None:
        """The folder, when the store is one; None = an object store, whose writes are durable when acknowledged."""

    def receiving(self, relative: str) -> AbstractContextManager[Path]:
        """A local path to write to; a normal exit makes the file durable as `relative`, an error removes it."""

    def workshop(self) -> AbstractContextManager[Path]:
        """An empty local folder for writing many files; the exit removes it with its remaining files."""

    def receive_all(self, files: Mapping[str, str]) -> None:
        """Make files of a workshop durable, name -> path: all of them, or after an error none."""

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

    def receive_all(self, files: Mapping[str, str]) -> None:
        root = str(self._root)
        move_all({f"{root}/{relative}": path for relative, path in files.items()})

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


class ObjectStore:
    """A prefix of an S3 bucket."""

    def __init__(self, filesystem: fs.FileSystem, prefix: str, spool: Path | None = None) -> None:
        """`prefix`: "bucket/folder"; `spool`: folder for files before upload, None = the system's temporary folder."""
        self._filesystem = filesystem
        self._prefix = prefix
        self._spool = spool

    @property
    def root(self) -> Path | None:
        return None

    @contextmanager
    def receiving(self, relative: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._spool, prefix="timestore-") as spool:
            path = Path(spool) / "upload"
            yield path
            self._upload(str(path), relative)

    @contextmanager
    def workshop(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._spool, prefix="timestore-") as spool:
            yield Path(spool)

    def receive_all(self, files: Mapping[str, str]) -> None:
        try:
            with ThreadPoolExecutor(_CONCURRENT_UPLOADS) as threads:
                for _ in threads.map(self._upload, files.values(), files):
                    pass
        except BaseException:
            for relative in files:
                self.delete(relative)
            raise

    def _upload(self, path: str, relative: str) -> None:
        local = fs.LocalFileSystem()
        try:
            fs.copy_files(
                path,
                self._at(relative),
                source_filesystem=local,
                destination_filesystem=self._filesystem,
                chunk_size=_CHUNK,
                use_threads=False,
            )
            arrived = self.size(relative)
        except OSError as error:
            raise RetryLater(f"upload of {relative} to {self._prefix} failed: {error}") from error
        if arrived != Path(path).stat().st_size:
            raise RetryLater(f"upload of {relative} to {self._prefix} is short: {arrived} bytes arrived")

    def remove_abandoned(self, before: datetime) -> None:
        """Nothing to do: an interrupted upload leaves no object, and the spool has its own clean-up."""

    def read(self, relative: str) -> bytes:
        with self._filesystem.open_input_stream(self._at(relative)) as stream:
            content: bytes = stream.readall()
        return content

    def size(self, relative: str) -> int:
        info = self._filesystem.get_file_info(self._at(relative))
        if not info.is_file:
            raise FileNotFoundError(self._at(relative))
        return int(info.size)

    def exists(self, relative: str) -> bool:
        return bool(self._filesystem.get_file_info(self._at(relative)).type != fs.FileType.NotFound)

    def delete(self, relative: str) -> None:
        if self.exists(relative):
            self._filesystem.delete_file(self._at(relative))

    def list(self, folder: str = "") -> list[str]:
        selector = fs.FileSelector(self._at(folder).rstrip("/"), allow_not_found=True)
        return sorted(info.base_name for info in self._filesystem.get_file_info(selector))

    def _at(self, relative: str) -> str:
        return f"{self._prefix}/{relative}"


def s3_filesystem(options: Mapping[str, str]) -> fs.FileSystem:
    """Arrow's S3 client, configured by the same keys, in either case, as Delta's client."""
    given = {key.upper(): value for key, value in options.items()}
    scheme, _, endpoint = given.get("AWS_ENDPOINT_URL", "").rpartition("://")
    return fs.S3FileSystem(
        access_key=given.get("AWS_ACCESS_KEY_ID"),
        secret_key=given.get("AWS_SECRET_ACCESS_KEY"),
        session_token=given.get("AWS_SESSION_TOKEN"),
        region=given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION"),
        scheme=scheme or "https",
        endpoint_override=endpoint or None,
    )
