"""Where a lake lives: a folder (path or file://) or a prefix of a bucket (s3://)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from timestore_pipeline.errors import InvalidInput
from timestore_pipeline.lake.store import FileStore, LocalStore, ObjectStore, s3_filesystem


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
