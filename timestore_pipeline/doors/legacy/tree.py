"""A folder of Parquet files that other programs wrote: the files, and the columns in their folders' names.

`…/station=JFK/2013.parquet` holds the rows of one station, whose column is in the path only. A column's type follows
from all its values: whole numbers, dates, or else text; never a type that would change one of them, so `month=01` stays
text. The partition columns of our own tables are left out, because they follow from the time column.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from pyarrow import fs

from timestore_pipeline.errors import NotImportable
from timestore_pipeline.ingest.formats.path_columns import PathColumns, Types, pairs, path_columns
from timestore_pipeline.lake.store import Location
from timestore_pipeline.system import confined
from timestore_pipeline.system.legible import is_text

_SUFFIXES = (".parquet", ".parq", ".pq")
_CHUNK = 8 << 20  # bytes of a download held in memory


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One Parquet file."""

    path: str  # for its filesystem
    shown: str  # relative to the tree
    bytes: int
    modified_ns: int
    columns: PathColumns  # of the whole path, so that importing a part of a tree gives the same columns
    refused: str = ""  # why it is not read; empty = it is

    @property
    def pairs(self) -> list[str]:
        """A part of its identity: the same bytes under another station are different rows."""
        return pairs(self.columns)


@dataclass(frozen=True, slots=True)
class LegacyTree:
    """Files to import, in the order of their paths."""

    files: Sequence[TreeFile]
    filesystem: fs.FileSystem | None  # None = local
    root: Path | None = None  # of a local tree; it may be a link, but below it no link is followed

    @classmethod
    def at(cls, uri: str, options: Mapping[str, str]) -> LegacyTree:
        """Everything under a path, file:///folder or s3://bucket/prefix, or that one file; raise `NotImportable`."""
        location = Location.parse(uri, options)
        found, refused = _listed(location)
        if (table := _table_around(location) or _table_inside(found)) is not None:
            hint = "read it as a table, for example with DuckDB's delta_scan, and `timestore ingest` the result"
            raise NotImportable(f"{table} is a Delta table: some of its files may be deleted rows", hint=hint)
        files = [_file(info, location.path) for info in found if _is_wanted(info, location.path)] + refused
        if not files:
            hint = "files are recognised by their suffix: " + ", ".join(_SUFFIXES)
            raise NotImportable(f"there is no Parquet file under {uri}", hint=hint)
        return cls(sorted(files, key=lambda file: file.path), location.filesystem, _root(location))

    @classmethod
    def of(cls, location: Location, found: Sequence[fs.FileInfo]) -> LegacyTree:
        """Files of a folder, as paths relative to it."""
        files = [_file(info, "", f"{location.path}/") for info in found]
        return cls(files, location.filesystem, _root(location))

    def column_types(self) -> Types:
        """The type of each column that is in paths only."""
        values: dict[str, list[str]] = {}
        for file in self.files:
            for name, value in file.columns.items():
                values.setdefault(name, []).extend([] if value is None else [value])
        return {name: _type_of(found) for name, found in values.items()}

    @contextmanager
    def local(self, file: TreeFile, spool: Path) -> Iterator[Path]:
        """A local path of the file; a file from a bucket is copied to `spool` meanwhile."""
        if self.filesystem is None:
            yield Path(file.path)
            return
        with TemporaryDirectory(dir=spool, prefix="legacy-") as folder:
            path = Path(folder) / "file.parquet"
            local = fs.LocalFileSystem()
            fs.copy_files(file.path, str(path), self.filesystem, local, chunk_size=_CHUNK, use_threads=False)
            yield path

    def is_unchanged(self, file: TreeFile) -> bool:
        """Whether it has not been written to since it was listed."""
        if self.filesystem is None:
            tree, place = self._confined(file)
            status = tree.status(place)
            if status is None or not stat.S_ISREG(status.st_mode):
                return False
            return (status.st_size, status.st_mtime_ns) == (file.bytes, file.modified_ns)
        info = self.filesystem.get_file_info(file.path)
        return bool(info.is_file and (info.size, info.mtime_ns) == (file.bytes, file.modified_ns))

    def delete(self, file: TreeFile) -> None:
        """Raise `OSError`, also when a link has replaced a folder: the link's target is never touched."""
        if self.filesystem is None:
            tree, place = self._confined(file)
            tree.remove(place)
        else:
            self.filesystem.delete_file(file.path)

    def _confined(self, file: TreeFile) -> tuple[confined.Tree, confined.Place]:
        assert self.root is not None
        return confined.Tree(self.root), Path(file.path).relative_to(self.root).parts


def _root(location: Location) -> Path | None:
    if location.filesystem is not None:
        return None
    path = Path(location.path)
    return path.parent if path.is_file() else path


def _listed(location: Location) -> tuple[list[fs.FileInfo], list[TreeFile]]:
    """The files, and the refused entries."""
    filesystem = location.filesystem or fs.LocalFileSystem()
    info = filesystem.get_file_info(location.path)
    if info.is_file:
        return [info], []
    if location.filesystem is None:
        return _listed_here(Path(location.path))
    return list(filesystem.get_file_info(fs.FileSelector(location.path, recursive=True, allow_not_found=True))), []


def _listed_here(root: Path) -> tuple[list[fs.FileInfo], list[TreeFile]]:
    """Follows no link. An entry that may hide Parquet files is listed as refused, not skipped silently."""
    found, refused = list[fs.FileInfo](), list[TreeFile]()
    for entry in confined.Tree(root).walk((), lambda _: False):
        path, shown, status = str(root.joinpath(*entry.place)), "/".join(entry.place), entry.status
        reason = entry.refused or ("" if is_text(path) else "its name is not in UTF-8")
        info = None if reason else fs.FileInfo(path, fs.FileType.File, size=status.st_size, mtime_ns=status.st_mtime_ns)
        if info is not None:
            found.append(info)
        elif not _is_hidden(shown) and (entry.refused or shown.lower().endswith(_SUFFIXES)):
            refused.append(TreeFile(path, shown, 0, 0, {}, reason))
    return found, refused


def _table_inside(found: Sequence[fs.FileInfo]) -> str | None:
    logs = (info.path for info in found if "/_delta_log/" in info.path)
    return next((path.split("/_delta_log/")[0] for path in logs), None)


def _table_around(location: Location) -> str | None:
    """The Delta table that contains this path, with links resolved."""
    if location.filesystem is not None:
        return None
    around = Path(location.path).resolve().parents
    return next((str(folder) for folder in around if (folder / "_delta_log").is_dir()), None)


def _is_wanted(info: fs.FileInfo, root: str) -> bool:
    hidden = _is_hidden(info.path.removeprefix(root))
    return bool(info.is_file and not hidden and info.path.lower().endswith(_SUFFIXES))


def _is_hidden(inside: str) -> bool:
    return any(part.startswith(("_", ".")) for part in inside.strip("/").split("/"))


def _file(info: fs.FileInfo, root: str, parent: str = "") -> TreeFile:
    path = f"{parent}{info.path}"
    shown = info.path.removeprefix(root).strip("/") or info.base_name
    return TreeFile(path, shown, info.size, info.mtime_ns or 0, path_columns(path.split("/")[:-1]))


def _type_of(values: Sequence[str]) -> pa.DataType:
    if values and all(_is_whole(value) for value in values):
        return pa.int64()
    return pa.date32() if values and all(_is_day(value) for value in values) else pa.string()


def _is_whole(value: str) -> bool:
    return re.fullmatch(r"0|-?[1-9]\d{0,17}", value) is not None


def _is_day(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
