"""Where a file of the landing folder lies, which is all there is to know about it.

<landing>/<dataset>/…                            dropped here, best by a rename
<landing>/_ingesting/<dataset>/…/<instant>~<name>  in hand
<landing>/_archive/<dataset>/…                   every row of it is durable
<landing>/_rejected/<dataset>/…                  refused, with <name>.reason.json beside it

A file moves by rename, so it is in one place at any instant, and a crash leaves it where the next run looks. It is
taken in hand before it is read: whoever drops another file under the same name meanwhile cannot have it mistaken for
this one. No dataset's name begins with an underscore.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePath

from timestore_pipeline import clock, durable
from timestore_pipeline.errors import LandingUnusable
from timestore_pipeline.landing import names
from timestore_pipeline.settings import Settings

_IN_HAND, _ARCHIVE, _REJECTED = "_ingesting", "_archive", "_rejected"


Identity = tuple[int, int, int]  # inode, bytes, nanoseconds of the last write: another one, another file


@dataclass(frozen=True, slots=True)
class LandingFile:
    """One file as a listing found it."""

    dataset: str
    path: Path
    relative: PurePath  # under the dataset's folder, as it was dropped
    identity: Identity
    not_before: datetime  # until then it is left alone: it may be half-written, or it was put off
    in_hand: bool  # moved out of the dataset's folder already

    @property
    def bytes(self) -> int:
        return self.identity[1]

    @property
    def name(self) -> str:
        """For people."""
        return names.shown(PurePath(self.dataset) / self.relative)


class LandingFolder:
    """One landing folder; every method lists anew, nothing is remembered."""

    def __init__(self, root: Path, settle: timedelta) -> None:
        """settle: how long a file must have been left unchanged before it is taken for whole."""
        self.root = root
        self._settle = settle

    @classmethod
    def of(cls, settings: Settings) -> LandingFolder:
        """The configured one; raise `LandingUnusable`. It is not made: an unmounted disk must not look empty."""
        root = settings.landing_directory
        if root is None:
            raise LandingUnusable(
                "there is no landing folder", hint="set TIMESTORE_LANDING_DIRECTORY to a folder that exists"
            )
        if not _is_folder(root):
            raise LandingUnusable(
                f"TIMESTORE_LANDING_DIRECTORY={root} is not a folder", hint="make it, or mount the disk it lies on"
            )
        return cls(root, settings.landing_settle)

    def datasets(self) -> list[str]:
        """Datasets with a folder of their own, or with files in hand."""
        folders = (self.root, self.root / _IN_HAND)
        return sorted({name for folder in folders for name in _folders(folder) if names.is_ours(name)})

    def places(self) -> list[Path]:
        """Every folder that files are moved between; some may not be there yet."""
        own = [self.root / name for name in (_IN_HAND, _ARCHIVE, _REJECTED)]
        return [*own, *(parent / name for parent in (self.root, *own) for name in self.datasets())]

    def strangers(self) -> list[str]:
        """What lies there and will never be taken: folders that no dataset can be named after, files outside them."""
        names_of_ours = {*self.datasets(), _IN_HAND, _ARCHIVE, _REJECTED}
        found = (entry.name for entry in _entries(self.root) if entry.name not in names_of_ours)
        return sorted(names.shown(name) for name in found if not names.is_unfinished(name))

    def files(self, dataset: str) -> list[LandingFile]:
        """What waits, what is in hand first, then oldest first; names of unfinished files are left out."""
        now = clock.now()
        in_hand = [self._found_in_hand(dataset, path) for path in _walk(self.root / _IN_HAND / dataset)]
        dropped = [self._found_dropped(dataset, path, now) for path in _walk(self.root / dataset)]
        found = [file for file in (*in_hand, *dropped) if file is not None]
        return sorted(found, key=lambda file: (not file.in_hand, file.not_before, str(file.relative)))

    def ready(self, dataset: str) -> list[LandingFile]:
        """Those that need not be left alone any more."""
        now = clock.now()
        return [file for file in self.files(dataset) if file.not_before <= now]

    def take(self, file: LandingFile) -> LandingFile | None:
        """The file in hand; None when somebody else has it. Raise `LandingUnusable` when it cannot be moved."""
        if file.in_hand:
            return file
        parent = self.root / _IN_HAND / file.dataset / names.shown(file.relative.parent)  # readers want UTF-8
        return self._moved(file, parent, clock.now())

    def put_off(self, file: LandingFile, until: datetime) -> LandingFile | None:
        """The same, left alone until then."""
        return self._moved(file, file.path.parent, until)

    def is_unchanged(self, file: LandingFile) -> bool:
        """Whether nobody has written to it since it was listed."""
        status = _status(file.path)
        return status is not None and _identity(status) == file.identity

    def archive(self, file: LandingFile, content: str) -> PurePath:
        """Put a file away, durably; returns where, relative to the archive. content: its digest."""
        return self._put(file, self.root / _ARCHIVE, content)

    def reject(self, file: LandingFile, content: str, reason: str) -> PurePath:
        """The reason first: a crash in between leaves a reason for a file that is looked at again."""
        parent = self.root / _REJECTED
        target = parent / file.dataset / names.archived(file.relative, content)
        try:
            _write_durably(target.with_name(target.name + names.REASON), reason)
        except OSError as error:
            raise _unmovable(file, error) from error
        return self._put(file, parent, content)

    def archived(self, dataset: str) -> list[Path]:
        """Every archived file, by name."""
        return sorted(_walk(self.archive_of(dataset)))

    def archive_of(self, dataset: str) -> Path:
        """The folder of a dataset's archived files."""
        return self.root / _ARCHIVE / dataset

    def rejected(self, dataset: str) -> list[Path]:
        """Every rejected file, by name, without the reasons."""
        return sorted(path for path in _walk(self.root / _REJECTED / dataset) if not path.name.endswith(names.REASON))

    def put_away(self) -> list[str]:
        """Datasets with something archived or rejected."""
        return sorted({*_folders(self.root / _ARCHIVE), *_folders(self.root / _REJECTED)})

    def _found_in_hand(self, dataset: str, path: Path) -> LandingFile | None:
        not_before, name = names.dropped_as(path.name)
        status = _status(path)
        if status is None:
            return None
        relative = path.relative_to(self.root / _IN_HAND / dataset).with_name(name)
        return LandingFile(dataset, path, relative, _identity(status), not_before or clock.now(), in_hand=True)

    def _found_dropped(self, dataset: str, path: Path, now: datetime) -> LandingFile | None:
        status = _status(path)
        if status is None:
            return None
        settled = _changed_at(status, now) + self._settle
        relative = path.relative_to(self.root / dataset)
        return LandingFile(dataset, path, relative, _identity(status), settled, in_hand=False)

    def _moved(self, file: LandingFile, parent: Path, not_before: datetime) -> LandingFile | None:
        """Not made durable: after a power loss the file is back where it was, and its batches have their keys."""
        target = parent / names.in_hand(file.relative.name, not_before)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            file.path.rename(target)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unmovable(file, error) from error
        return self._found_in_hand(file.dataset, target)

    def _put(self, file: LandingFile, parent: Path, content: str) -> PurePath:
        relative = PurePath(file.dataset) / names.archived(file.relative, content)
        target = parent / relative
        try:
            durable.make_folder(target.parent)
            file.path.rename(target)
            durable.sync(target.parent)
            durable.sync(file.path.parent)
        except FileNotFoundError:  # another run has put it there already
            return relative
        except OSError as error:
            raise _unmovable(file, error) from error
        return relative


def file_size(path: Path) -> int | None:
    """Bytes; None = it is gone. Raise `LandingUnusable`."""
    status = _status(path)
    return None if status is None else status.st_size


def _unmovable(file: LandingFile, error: OSError) -> LandingUnusable:
    return LandingUnusable(
        f"{names.shown(file.path)} cannot be moved: {error.strerror}",
        dataset=file.dataset,
        hint="the landing folder must lie on one filesystem with room, and be writable for whoever ingests",
    )


def _write_durably(path: Path, text: str) -> None:
    durable.make_folder(path.parent)
    with durable.replacing(path) as temporary:
        temporary.write_text(text)


def _changed_at(status: os.stat_result, now: datetime) -> datetime:
    """The later of its change times; one in the future was set by hand, unless both are: then it changed just now."""
    instants = [clock.from_micros(nanos // 1000) for nanos in (status.st_mtime_ns, status.st_ctime_ns)]
    return max((instant for instant in instants if instant <= now), default=now)


def _identity(status: os.stat_result) -> Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _hidden(path, error) from error


def _walk(folder: Path) -> Iterator[Path]:
    """Plain files under a folder, at any depth; links and unfinished names are passed over."""
    for entry in _entries(folder):
        if names.is_unfinished(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _hidden(folder, error) from error


def _folders(parent: Path) -> list[str]:
    return [entry.name for entry in _entries(parent) if _is_folder(entry)]


def _is_folder(place: Path | os.DirEntry[str]) -> bool:
    """False also for a link that leads in a circle, or a place this user may not look at."""
    try:
        return place.is_dir()
    except OSError:
        return False


def _hidden(place: Path, error: OSError) -> LandingUnusable:
    return LandingUnusable(
        f"{names.shown(place)} cannot be looked at: {error.strerror}", hint="give the ingesting user access to it"
    )
