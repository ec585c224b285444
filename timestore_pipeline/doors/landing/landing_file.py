"""A file of the landing folder as a listing found it: its identity, its age, and why it cannot be moved or read."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath

from timestore_pipeline.doors.landing import names
from timestore_pipeline.errors import LandingUnusable
from timestore_pipeline.system import clock
from timestore_pipeline.system.confined import Entry, Place

Identity = tuple[int, int, int]  # inode, bytes, nanoseconds of the last write; if it differs, the file is another one


_BLOCK = 512  # bytes; the unit of `st_blocks`
_HOLLOW_BYTES = 64 << 20  # read in a moment
_HOLLOW_TIMES = 100  # of what it takes on disk; a filesystem that compresses keeps readings in a twentieth


@dataclass(frozen=True, slots=True)
class LandingFile:
    """One file as a listing found it."""

    dataset: str
    path: Path  # for people
    place: Place
    relative: PurePath  # under the dataset's folder, as it was dropped
    identity: Identity
    not_before: datetime  # it is not read before: it may be half-written, or it was postponed
    in_hand: bool  # taken: moved out of the dataset's folder already
    attempts: int = 0  # to read it that did not finish

    @property
    def bytes(self) -> int:
        return self.identity[1]

    @property
    def name(self) -> str:
        """For people."""
        return names.shown(PurePath(self.dataset) / self.relative)


@dataclass(frozen=True, slots=True)
class Ignored:
    """An entry of the folder that will never be taken."""

    place: str  # for people, in the landing folder
    reason: str


def why_ignored(entry: Entry) -> str:
    """Empty for a file to take. A hard link could be changed, or show us a file of others, through its other name."""
    if entry.refused or not entry.is_file:
        return entry.refused
    if entry.status.st_nlink > 1:
        return "it is a hard link: the same file has another name, copy it instead"
    return "it is a sparse file: most of it is holes, copy it with cp --sparse=never" if _is_hollow(entry) else ""


def _is_hollow(entry: Entry) -> bool:
    """A terabyte of holes costs its dropper nothing, and takes an hour to read."""
    on_disk = entry.status.st_blocks * _BLOCK
    return entry.status.st_size > _HOLLOW_BYTES + _HOLLOW_TIMES * on_disk


def identity_of(status: os.stat_result) -> Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns


def changed_at(status: os.stat_result, now: datetime) -> datetime:
    """The later of its change times. One in the future was set by hand and is ignored; if both are, it changed now."""
    instants = [_instant(nanos) for nanos in (status.st_mtime_ns, status.st_ctime_ns)]
    return max((instant for instant in instants if instant is not None and instant <= now), default=now)


def _instant(nanos: int) -> datetime | None:
    """None = outside the range of Python's datetime; a filesystem may have such times."""
    with suppress(OverflowError):
        return clock.from_micros(nanos // 1000)
    return None


def unmovable(file: LandingFile, error: OSError) -> LandingUnusable:
    return LandingUnusable(
        f"{names.shown(file.path)} cannot be moved: {_reason(file.path, error)}",
        dataset=file.dataset,
        hint="the landing folder must be on one filesystem with free space, and writable for the ingesting user",
    )


def hidden(place: Path, error: OSError) -> LandingUnusable:
    message = f"{names.shown(place)} cannot be looked at: {_reason(place, error)}"
    return LandingUnusable(message, hint="give the ingesting user access to it")


def _reason(place: Path, error: OSError) -> str:
    """The system's error text, with the path that it is about if that is another one."""
    where = error.filename
    elsewhere = isinstance(where, str) and where.startswith("/") and where != str(place)
    return f"{names.shown(str(where))}: {error.strerror}" if elsewhere else str(error.strerror or error)


def is_folder(place: Path) -> bool:
    """False also for a circular link, and for a place without access for this user."""
    try:
        return place.is_dir()
    except OSError:
        return False
