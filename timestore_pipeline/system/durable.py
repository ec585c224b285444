"""Files and folder entries that survive a power loss: flushed, and the entry that names them flushed after them.

A crash before the last step leaves the previous state, and at most a temporary file whose name begins with `_tmp-`.
A full disk is recognised in the errors of every library that writes files.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE, SHARED = 0o700, 0o770  # modes of folders; files have the same without the right to enter
_CONCURRENT_SYNCS = 16  # each waits for the disk; from about a dozen on, every disk write serves several of them

_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
_PHRASES = (*map(os.strerror, _NUMBERS), *(f"os error {number}" for number in _NUMBERS), "not enough space")


def sync(path: Path | str) -> None:
    """Flush a file's content, or a folder's entries: without the latter a new file can vanish in a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path, *, private: bool = False) -> None:
    """Make a folder and its parents, and flush the entry that names it.

    Also when it exists already: the process that made it may not have flushed it yet. private: a new folder is
    accessible to its owner only, and to its group if the folder above it is writable for the group.
    """
    if not path.is_dir():
        make_folder(path.parent)
        _make(path, private=private)
    with suppress(PermissionError):  # an unreadable parent has entries of other users only
        sync(path.parent)


def open_private(path: Path) -> int:
    """A descriptor of a file to lock or to write; a missing file is made, private, or shared like its folder."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    keep_private(path)
    return descriptor


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed, at the latest by the kernel; False = another process holds the lock.

    For work whose correctness does not depend on it: on a filesystem without locks, every lock is granted.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def keep_private(file: Path) -> None:
    """Restrict a new file to its owner, and to its group if the group may write in its folder."""
    wanted = (SHARED if is_shared(file.parent) else PRIVATE) & ~0o111
    status = file.stat()
    if stat.S_IMODE(status.st_mode) != wanted and status.st_uid == os.geteuid():
        file.chmod(wanted)


def _make(path: Path, *, private: bool) -> None:
    try:
        path.mkdir(PRIVATE if private else 0o777)
    except FileExistsError:  # another process made it first, or a file has that name
        if not path.is_dir():
            raise
        return
    if private and is_shared(path.parent):
        path.chmod(stat.S_IMODE(path.stat().st_mode) | SHARED)  # not by mkdir, whose mode the umask restricts


def is_shared(folder: Path) -> bool:
    """Whether the folder's group may write in it."""
    return bool(folder.stat().st_mode & stat.S_IWGRP)


def sync_all(paths: Iterable[Path | str]) -> None:
    """`sync` of many files or folders, side by side: the filesystem combines concurrent flushes.

    In one share per thread: handing over each path separately takes as long as its flush.
    """
    known = list(paths)
    shares = (known[first::_CONCURRENT_SYNCS] for first in range(min(_CONCURRENT_SYNCS, len(known))))
    with ThreadPoolExecutor(_CONCURRENT_SYNCS) as threads:
        for _ in threads.map(_sync_each, shares):
            pass


def _sync_each(paths: Iterable[Path | str]) -> None:
    for path in paths:
        sync(path)


def move_all(targets: Mapping[str, str]) -> None:
    """Move written files to their names, target -> file: all durable and whole, or, after an error, none is moved.

    In the same order as for one file: contents, folders, names, entries. All must be on one filesystem. Paths are text:
    taking thousands of `Path` apart costs as much as moving the files.
    """
    sync_all(targets.values())
    folders = {target.rpartition("/")[0] for target in targets}
    _make_folders(folders)
    named: list[str] = []
    try:
        for target, path in targets.items():
            os.replace(path, target)  # noqa: PTH105  # text, as above
            named.append(target)
        sync_all(folders)
    except BaseException:
        for target in named:
            Path(target).unlink(missing_ok=True)
        raise


def _make_folders(folders: Collection[str]) -> None:
    """As `make_folder`, but the parent folder is flushed once for all."""
    parents = {folder.rpartition("/")[0] for folder in folders}
    for parent in parents:
        make_folder(Path(parent))
    for folder in folders:
        with suppress(FileExistsError):
            os.mkdir(folder)  # noqa: PTH102
    sync_all(parents)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside `target` to write a file to; it takes the target's name once it is durable, whole or not at all."""
    temporary = target.with_name(f"_tmp-{uuid.uuid4().hex[:12]}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def create(target: Path, content: bytes) -> bool:
    """Make a new durable file; False = a file of that name exists, and is not changed."""
    temporary = target.with_name(f"_tmp-{uuid.uuid4().hex[:12]}")
    try:
        temporary.write_bytes(content)
        sync(temporary)
        os.link(temporary, target)  # unlike a rename it never replaces
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync(target.parent)
    return True


def is_disk_full(error: Exception) -> bool:
    """By error number where there is one; DuckDB, Arrow and deltalake give only a text.

    Not for an error about data: it may quote a value, and a value may contain these words.
    """
    return getattr(error, "errno", None) in _NUMBERS or any(phrase in str(error) for phrase in _PHRASES)
