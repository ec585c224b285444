"""Files and folders below a root that other users may write to, opened by descriptor and never through a link.

A folder is opened relative to its parent, name by name, and a link on the way is refused. So a folder that is replaced
by a link between two steps is refused, and a rename moves the entry itself, never the target of a link. The root
belongs to the operator: it may be a link. Every method raises `OSError` with the path as its file name.

`write` and a durable `move` survive a power loss once they return; a crash before that leaves the previous state, and
at most empty folders and a file whose name begins with `_tmp-`.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DEEPEST = 32  # folders in folders; producers nest by year, station and day

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # NONBLOCK: no wait for a named pipe's writer
_LINK = "it is a link, and links are not followed"
_KINDS = (
    (stat.S_ISLNK, _LINK),
    (stat.S_ISFIFO, "it is a named pipe"),
    (stat.S_ISSOCK, "it is a socket"),
    (stat.S_ISBLK, "it is a device"),
    (stat.S_ISCHR, "it is a device"),
)

Place = tuple[str, ...]  # names from the root down


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a folder. `place` is relative to the start of the listing."""

    place: Place
    status: os.stat_result
    refused: str  # why it is neither a file nor a folder to descend into; empty = it is one

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)


class Tree:
    """Everything below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, place: Place) -> Path:
        """For messages only: opening it may reach another file by then."""
        return self.root.joinpath(*place)

    @contextmanager
    def folder(self, place: Place, *, make: bool = False, durable: bool = False) -> Iterator[int]:
        """The folder's descriptor. make: create it and its parents if missing; durable: flush their entries."""
        descriptor = os.open(self.root, _FOLDER)
        try:
            for depth in range(len(place)):
                below = self._step(descriptor, place[: depth + 1], make=make, durable=durable)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def file(self, place: Place, *, make: bool = False) -> Iterator[int]:
        """The descriptor of a plain file, open for reading; make: create an empty one if missing."""
        with self.folder(place[:-1], make=make) as above:
            flags = _FILE | (os.O_RDWR | os.O_CREAT if make else os.O_RDONLY)
            descriptor = self._opened(above, place, flags)
        try:
            if reason := why_refused(os.fstat(descriptor)):
                raise self._refused(place, reason)
            yield descriptor
        finally:
            os.close(descriptor)

    def status(self, place: Place) -> os.stat_result | None:
        """Status of the entry itself, links not followed; None = there is none."""
        try:
            with self.folder(place[:-1]) as above:
                return os.stat(_checked(place), dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def entries(self, place: Place) -> Iterator[Entry]:
        """Everything directly in a folder; nothing when there is none."""
        try:
            with self.folder(place) as folder, os.scandir(folder) as found:
                for one in found:
                    with suppress(FileNotFoundError):  # moved away meanwhile
                        status = one.stat(follow_symlinks=False)
                        yield Entry((one.name,), status, why_refused(status))
        except (FileNotFoundError, NotADirectoryError):
            return

    def walk(self, place: Place, skip: Callable[[str], bool]) -> Iterator[Entry]:
        """All entries below a folder that are not folders, down to `DEEPEST`; a folder below that is refused.

        skip: names to skip, with everything below them. Only one folder is open at a time.
        """
        waiting: list[Place] = [()]
        while waiting:
            inside = waiting.pop()
            for found in self._inside(place, inside):
                entry = Entry((*inside, *found.place), found.status, found.refused)
                if skip(found.place[0]):
                    continue
                if not entry.is_folder:
                    yield entry
                elif len(entry.place) < DEEPEST:
                    waiting.append(entry.place)
                else:
                    yield Entry(entry.place, entry.status, f"it is nested deeper than {DEEPEST} folders")

    def move(self, source: Place, target: Place, *, durable: bool) -> None:
        """Rename within the tree, replacing an existing target. Raises `FileNotFoundError` if the source is gone."""
        with (
            self.folder(source[:-1]) as old,
            self.folder(target[:-1], make=True, durable=durable) as new,
        ):
            os.rename(_checked(source), _checked(target), src_dir_fd=old, dst_dir_fd=new)
            if durable:
                os.fsync(new)
                os.fsync(old)

    def write(self, place: Place, text: str) -> None:
        """Write a whole file durably, replacing an existing one."""
        temporary = f"_tmp-{uuid.uuid4().hex[:12]}"
        with self.folder(place[:-1], make=True, durable=True) as above:
            try:
                flags = _FILE | os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=above), "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(temporary, _checked(place), src_dir_fd=above, dst_dir_fd=above)
                os.fsync(above)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=above)

    def read(self, place: Place, most: int) -> str:
        """A short text; raises `ValueError` if it is longer than `most` bytes or not UTF-8."""
        with self.file(place) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise ValueError(f"{self.path(place)} is longer than {most} bytes")
        return content.decode()

    def remove(self, place: Place) -> None:
        """Unlink a file, durably."""
        with self.folder(place[:-1]) as above:
            os.unlink(_checked(place), dir_fd=above)
            os.fsync(above)

    def _step(self, above: int, place: Place, *, make: bool, durable: bool) -> int:
        if make:
            with suppress(FileExistsError):
                os.mkdir(_checked(place), dir_fd=above)
            if durable:  # also when it existed: the process that made it may not have flushed it yet
                os.fsync(above)
        return self._opened(above, place, _FOLDER | os.O_NOFOLLOW)

    def _opened(self, above: int, place: Place, flags: int) -> int:
        try:
            return os.open(_checked(place), flags, 0o666, dir_fd=above)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(above, place[-1]):
                raise self._refused(place, _LINK) from error
            error.filename = str(self.path(place))
            raise

    def _refused(self, place: Place, reason: str) -> OSError:
        return OSError(errno.ELOOP, reason, str(self.path(place)))

    def _inside(self, start: Place, inside: Place) -> Iterator[Entry]:
        """A folder that was replaced since it was listed counts as gone."""
        try:
            yield from self.entries((*start, *inside))
        except OSError as error:
            if not inside or error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise


def why_refused(status: os.stat_result) -> str:
    """Empty for plain files and folders."""
    return next((reason for is_kind, reason in _KINDS if is_kind(status.st_mode)), "")


@contextmanager
def readable(descriptor: int, path: Path, suffix: str) -> Iterator[Path]:
    """A path to an open file, for libraries that accept only paths; it ends with `suffix`.

    path: where the file was opened; used, without the protection, on systems without /proc.
    """
    held = f"/proc/{os.getpid()}/fd/{descriptor}"
    if not os.path.exists(held):  # noqa: PTH110  # not to be resolved
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="timestore-") as folder:  # accessible to this user only
        link = Path(folder) / f"file{suffix}"
        link.symlink_to(held)
        yield link


def _checked(place: Place) -> str:
    """The last name; raises if it is not a plain name but a path to another folder."""
    name = place[-1]
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise OSError(errno.EINVAL, "it is not a file name", name)
    return name


def _is_link(above: int, name: str) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
    return False
