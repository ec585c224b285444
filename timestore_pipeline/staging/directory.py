"""The layout of a staging directory, and how its files are made durable.

<staging>/ledger.sqlite
<staging>/ledger.sqlite.building                     a ledger that is being rebuilt
<staging>/quarantine/_ledger-<instant>/              a damaged ledger that was replaced
<staging>/quarantine/_journals/<journal id>.journal  damaged when they were entered into a rebuilt ledger
<staging>/journals/<journal id>.journal              one process each appends to it, any process reads it
<staging>/segments/<dataset>/<segment id>.duckdb     written once, then only read
<staging>/quarantine/<dataset>/<segment id>.duckdb   damaged files that were set aside
<staging>/processes/<process id>.lock                locked for as long as the process lives
<staging>/spool/                                     scratch space of exports, compactions and queries
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from timestore_pipeline.errors import DiskFull, InvalidSettings
from timestore_pipeline.system.durable import make_folder, sync

_SEGMENT_SUFFIX = ".duckdb"
_JOURNAL_SUFFIX = ".journal"
_NOTHING = "_nothing"  # no file has this name
_MOST_KEPT_FREE = 4  # at most this part of a filesystem: on a small one the rest would be too little to work with


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Bytes that a dataset's staged rows take."""

    segments: int = 0  # of the files, as the filesystem reports them
    journals: int = 0  # of its batches in journals, which hold other datasets' too

    @property
    def total(self) -> int:
        return self.segments + self.journals


@dataclass(frozen=True, slots=True)
class FilesystemSpace:
    """Bytes of a filesystem."""

    size: int  # 0 = it does not say, like ramfs
    available: int

    def cannot_hold(self, limit: int) -> bool:
        """Whether a guardrail of so many bytes has no effect; 0 = it is off."""
        return 0 < self.size <= limit

    def misfit(self, total: int) -> str | None:
        """What is wrong with a total guardrail that cannot be reached; None = it fits, or is off."""
        named = f"TIMESTORE_STAGING_MAX_TOTAL_BYTES={total}"
        return f"{named} does not fit the disk of {self.size} bytes" if self.cannot_hold(total) else None

    def lacks(self, least: int) -> int:
        """Bytes that are missing until `least`, or a quarter of the filesystem, are free; negative = more are."""
        return min(least, self.size // _MOST_KEPT_FREE) - self.available


class StagingDirectory:
    """Paths inside one staging directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = root / "ledger.sqlite"
        self.ledger_log = root / "ledger.sqlite-wal"
        self.building = root / "ledger.sqlite.building"
        self.journals = root / "journals"
        self.processes = root / "processes"
        self.spool = root / "spool"

    def prepare(self) -> None:
        """Make the folders; raise `InvalidSettings` that names the variable when they cannot be made or written."""
        try:
            for folder in (self.root, self.root / "segments", self.journals, self.processes, self.spool):
                make_folder(folder, private=True)
            probe = self.spool / f"probe-{os.getpid()}"
            probe.touch()
            probe.unlink(missing_ok=True)  # another thread may open the directory too
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull(f"no space left in {self.root}", hint="free space or move the directory") from error
            raise InvalidSettings([f"TIMESTORE_STAGING_DIRECTORY={self.root}: {error.strerror}"]) from error
        if apart := self.apart():
            raise InvalidSettings([f"TIMESTORE_STAGING_DIRECTORY={self.root}: {apart}"])

    def apart(self) -> str:
        """Why no segment can be set aside: it would have to go to another filesystem; empty = it can.

        Asked of the kernel, which looks at the filesystems first: the file to be moved need not be there.
        """
        segments, quarantine = self.root / "segments", self.root / "quarantine"
        target = quarantine if quarantine.is_dir() else self.root
        try:
            (segments / _NOTHING).rename(target / _NOTHING)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return f"{segments} and {quarantine} must lie on one filesystem, files are set aside by rename"
        return ""

    def holds_rows(self) -> bool:
        """Whether rows that were staged here may still have to be published."""
        if self.journal_files():
            return True
        parents = (self.root / "segments", self.root / "quarantine")
        folders = (f"{parent}/{name}" for parent in parents for name in _folders(parent) if not name.startswith("_"))
        return any(name.endswith(_SEGMENT_SUFFIX) for folder in folders for name in _names(folder))

    def rebuilding(self) -> Path | None:
        """Where the old ledger lies while a rebuild is not finished; no dataset's name begins with an underscore."""
        return next((self.root / "quarantine").glob("_ledger-*.rebuilding"), None)

    def new_rebuilding(self, name: str) -> Path:
        return self.root / "quarantine" / f"_ledger-{name}.rebuilding"

    def volume(self) -> FilesystemSpace:
        """The filesystem the directory lies on; what only root may fill does not count as available."""
        size, _, available = shutil.disk_usage(self.root)
        return FilesystemSpace(size, available)

    def journal(self, journal_id: str) -> Path:
        return self.journals / (journal_id + _JOURNAL_SUFFIX)

    def journal_files(self) -> list[Path]:
        """Oldest first."""
        return [self.journals / name for name in sorted(_names(str(self.journals))) if name.endswith(_JOURNAL_SUFFIX)]

    def sync_journals(self) -> None:
        """Make the folder's list of journals durable."""
        sync(self.journals)

    def segment_folder(self, dataset: str) -> Path:
        return self.root / "segments" / dataset

    def segment_bytes(self, dataset: str) -> int:
        """Bytes of the files in a dataset's folder; by path and not by `Path`: see `_names`."""
        return folder_bytes(f"{self.root}/segments/{dataset}")

    def segment(self, dataset: str, segment_id: str) -> Path:
        return self.segment_folder(dataset) / (segment_id + _SEGMENT_SUFFIX)

    def quarantine_folder(self, dataset: str) -> Path:
        return self.root / "quarantine" / dataset

    def quarantined(self, dataset: str, segment_id: str) -> Path:
        return self.quarantine_folder(dataset) / (segment_id + _SEGMENT_SUFFIX)

    def quarantined_segments(self, dataset: str) -> list[Path]:
        """Paths of what was set aside of a dataset, in the order of the ids."""
        folder = self.quarantine_folder(dataset)
        return [folder / name for name in sorted(_names(str(folder))) if name.endswith(_SEGMENT_SUFFIX)]

    def datasets(self) -> list[str]:
        """Datasets that have a folder of segments or of quarantined ones, whether or not the ledger knows them."""
        folders = (*_folders(self.root / "segments"), *_folders(self.root / "quarantine"))
        return sorted({name for name in folders if not name.startswith("_")})


def _folders(parent: Path) -> list[str]:
    return [entry.name for entry in os.scandir(parent) if entry.is_dir()] if parent.is_dir() else []


def _names(folder: str) -> list[str]:
    """Nothing when there is no such folder; by path and not by `Path`, which ten thousand of would cost a tick."""
    try:
        return os.listdir(folder)  # noqa: PTH208  # see above
    except FileNotFoundError:
        return []


def folder_bytes(folder: Path | str) -> int:
    """The sum of the files directly in a folder; a file unlinked meanwhile counts as nothing."""
    return sum(size for _, size in file_sizes(folder))


def file_sizes(folder: Path | str) -> Iterator[tuple[str, int]]:
    """Name and bytes of each file directly in a folder; nothing when there is no such folder."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        try:
            if entry.is_file(follow_symlinks=False):
                yield entry.name, entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue


def move_durably(source: Path, target: Path) -> None:
    """Move a segment to another folder of the same filesystem; done again, it goes on where it stopped.

    What lies at the target already stays there.
    """
    make_folder(target.parent.parent, private=True)  # the folder `quarantine`, the first time
    make_folder(target.parent, private=True)
    if target.parent.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, and no segment is moved through one", str(target.parent))
    if source.exists() and not target.exists():
        with suppress(FileNotFoundError):  # another process moves it, too
            source.rename(target)
    sync(target.parent)
    if source.parent.is_dir():
        sync(source.parent)
