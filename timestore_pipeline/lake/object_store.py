"""The same files in a bucket: written to a local spool folder first, then uploaded.

DuckDB can write to S3 only with an extension that it downloads at run time, which is ruled out. A crash leaves a spool
file, or an object that no commit refers to.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pyarrow import fs

from timestore_pipeline.errors import RetryLater

_CHUNK = 8 * 1024 * 1024  # bytes of an upload held in memory
_CONCURRENT_UPLOADS = 8  # of small files, which spend their time on round trips


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
            self._upload(path, relative)

    @contextmanager
    def workshop(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._spool, prefix="timestore-") as spool:
            yield Path(spool)

    def receive_all(self, files: Mapping[str, Path]) -> None:
        try:
            with ThreadPoolExecutor(_CONCURRENT_UPLOADS) as threads:
                for _ in threads.map(self._upload, files.values(), files):
                    pass
        except BaseException:
            for relative in files:
                self.delete(relative)
            raise

    def _upload(self, path: Path, relative: str) -> None:
        local = fs.LocalFileSystem()
        try:
            fs.copy_files(
                str(path),
                self._at(relative),
                source_filesystem=local,
                destination_filesystem=self._filesystem,
                chunk_size=_CHUNK,
                use_threads=False,
            )
            arrived = self.size(relative)
        except OSError as error:
            raise RetryLater(f"upload of {relative} to {self._prefix} failed: {error}") from error
        if arrived != path.stat().st_size:
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
