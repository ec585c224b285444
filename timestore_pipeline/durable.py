"""Files and folder entries that survive a power loss: flushed, and the entry that names them flushed after them.

A crash before the last step leaves the state of before, and at most a temporary file whose name begins with `_tmp-`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries: without the latter a new file can vanish in a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, and flush the entry that names it.

    Also when it was there already: whoever made it may not have got to the flush yet.
    """
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
    with suppress(PermissionError):  # a parent we may not read holds entries that someone else made
        sync(path.parent)


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
    """Make a durable file that nobody else has made; False = there is one of that name, which stays as it is."""
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
