"""The landing folder: a file's place is its whole state.

<landing>/<dataset>/…                            dropped here, best by a rename
<landing>/_ingesting/<dataset>/…/<instant>~<name>  taken, and not finished
<landing>/_archive/<dataset>/…                   every row of it is durable
<landing>/_rejected/<dataset>/…                  refused, with <name>.reason.json beside it

A file moves by rename, so it is in one place at any instant, and a crash leaves it where the next run looks. It is
taken by a rename before it is read, so another file that is dropped meanwhile under the same name is never mistaken for
it. No dataset's name begins with an underscore. Other users may write everywhere in here, so links are not followed,
and an entry that is neither a plain file nor a folder is ignored and listed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path, PurePath

from timestore_pipeline.doors.landing import names
from timestore_pipeline.doors.landing.landing_file import (
    Ignored,
    LandingFile,
    changed_at,
    hidden,
    identity_of,
    is_folder,
    unmovable,
    why_ignored,
)
from timestore_pipeline.errors import LandingUnusable
from timestore_pipeline.model.dataset import is_dataset_name
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.system.confined import Entry, Place, Tree

_OWN = _IN_HAND, _ARCHIVE, _REJECTED = "_ingesting", "_archive", "_rejected"
_MOST_LISTED = 100_000  # files of a dataset in one listing; the rest is listed once these are staged
_MOST_REASON = 64 << 10  # bytes of a reason file


class LandingFolder:
    """One landing folder; every method lists the disk, nothing is cached."""

    def __init__(self, root: Path, settle: timedelta) -> None:
        """settle: how long a file must have been unchanged before it counts as complete."""
        self.root = root
        self.tree = Tree(root)
        self._settle = settle

    @classmethod
    def of(cls, settings: Settings) -> LandingFolder:
        """The configured one; raise `LandingUnusable`. It is not created: an unmounted disk must not look empty."""
        root = settings.landing_directory
        if root is None:
            raise LandingUnusable(
                "there is no landing folder", hint="set TIMESTORE_LANDING_DIRECTORY to a folder that exists"
            )
        if not is_folder(root):
            raise LandingUnusable(
                f"TIMESTORE_LANDING_DIRECTORY={root} is not a folder", hint="create it, or mount its disk"
            )
        return cls(root, settings.landing_settle)

    def datasets(self) -> list[str]:
        """Datasets with a folder of their own, or with taken files."""
        places = ((), (_IN_HAND,))
        return sorted({name for place in places for name in self._folders(place) if is_dataset_name(name)})

    def places(self) -> list[Path]:
        """Every folder that files are moved between; some may not exist yet."""
        own = [self.root / name for name in _OWN]
        return [*own, *(parent / name for parent in (self.root, *own) for name in self.datasets())]

    def strangers(self) -> list[Ignored]:
        """Entries beside the datasets' folders: files, links, and folders whose names are no dataset names."""
        strangers = (
            self._stranger(entry.place[0], entry)
            for entry in self._entries(())
            if not (entry.is_folder and (entry.place[0] in _OWN or is_dataset_name(entry.place[0])))
        )
        return sorted((one for one in strangers if one is not None), key=lambda one: one.place)

    def ignored(self, dataset: str) -> list[Ignored]:
        """Entries in the dataset's own folders that are neither plain files nor folders to look into."""
        places = [(dataset,), *((parent, dataset) for parent in _OWN)]
        refused = [(place, entry) for place in places for entry in self._walk(place) if why_ignored(entry)]
        found = [Ignored(names.shown(PurePath(*place, *one.place)), why_ignored(one)) for place, one in refused]
        return sorted(found, key=lambda one: one.place)

    def files(self, dataset: str) -> list[LandingFile]:
        """Waiting files, at most `_MOST_LISTED`: taken ones first, then the oldest; files with failed attempts last."""
        in_hand = (self._found_in_hand(dataset, entry) for entry in self._plain((_IN_HAND, dataset)))
        dropped = (self._found_dropped(dataset, entry) for entry in self._plain((dataset,)))
        found = [*islice(in_hand, _MOST_LISTED), *islice(dropped, _MOST_LISTED)]
        return sorted(found, key=lambda file: (file.attempts, not file.in_hand, file.not_before, str(file.relative)))

    def ready(self, dataset: str) -> list[LandingFile]:
        """The waiting files that may be read now."""
        files, now = self.files(dataset), clock.now()
        return [file for file in files if file.not_before <= now]

    def take(self, file: LandingFile) -> LandingFile | None:
        """Take the file; None when another process has it. Raise `LandingUnusable` when it cannot be moved."""
        if file.in_hand:
            return file
        return self._moved(file, (_IN_HAND, file.dataset, *file.relative.parts[:-1]), clock.now(), 0)

    def put_off(self, file: LandingFile, until: datetime, attempts: int = 0) -> LandingFile | None:
        """Postpone a taken file; attempts: see `LandingFile`."""
        return self._moved(file, file.place[:-1], until, attempts)

    @contextmanager
    def opened(self, file: LandingFile) -> Iterator[int | None]:
        """The file's descriptor; None = it is gone, or another file is in its place. Raise `LandingUnusable`."""
        with ExitStack() as stack:
            try:
                descriptor = stack.enter_context(self.tree.file(file.place))
                ours = identity_of(os.fstat(descriptor)) == file.identity
            except FileNotFoundError:
                ours = False
            except OSError as error:
                raise hidden(file.path, error) from error
            yield descriptor if ours else None

    def is_unchanged(self, file: LandingFile) -> bool:
        """Whether it has not been written to since it was listed."""
        try:
            status = self.tree.status(file.place)
        except OSError as error:
            raise hidden(file.path, error) from error
        return status is not None and identity_of(status) == file.identity

    def archive(self, file: LandingFile, content: str) -> PurePath:
        """Move a file to the archive, durably; returns its path relative to the archive. content: its digest."""
        return self._put(file, _ARCHIVE, content)

    def reject(self, file: LandingFile, content: str, reason: str) -> PurePath:
        """Write the reason first: a crash in between leaves a reason for a file that is read again."""
        target = names.archived(file.relative, content)
        named = target.with_name(target.name + names.REASON)
        try:
            self.tree.write((_REJECTED, file.dataset, *named.parts), reason)
        except OSError as error:
            raise unmovable(file, error) from error
        return self._put(file, _REJECTED, content)

    def archived(self, dataset: str) -> list[Path]:
        """Every archived file, in name order."""
        return sorted(self.archive_of(dataset).joinpath(*one.place) for one in self._plain((_ARCHIVE, dataset)))

    def archive_of(self, dataset: str) -> Path:
        """The folder of a dataset's archived files."""
        return self.root / _ARCHIVE / dataset

    def archived_bytes(self, dataset: str) -> Iterator[int]:
        """The size of each archived file."""
        return (entry.status.st_size for entry in self._plain((_ARCHIVE, dataset)))

    @contextmanager
    def opened_archived(self, dataset: str, relative: PurePath) -> Iterator[int]:
        """The descriptor of an archived file; raise `OSError`."""
        with self.tree.file((_ARCHIVE, dataset, *relative.parts)) as descriptor:
            yield descriptor

    def rejected(self, dataset: str) -> list[PurePath]:
        """Every rejected file, in name order, without the reasons; relative to the landing folder."""
        return sorted(PurePath(_REJECTED, dataset, *one.place) for one in self._rejected(dataset))

    def rejected_bytes(self, dataset: str) -> Iterator[int]:
        """The size of each rejected file."""
        return (entry.status.st_size for entry in self._rejected(dataset))

    def reason(self, rejected: PurePath) -> str:
        """The text beside a rejected file; raise `OSError`, `ValueError`."""
        return self.tree.read((*rejected.parts[:-1], rejected.name + names.REASON), _MOST_REASON)

    def put_away(self) -> list[str]:
        """Datasets with archived or rejected files."""
        return sorted({*self._folders((_ARCHIVE,)), *self._folders((_REJECTED,))})

    def _found_in_hand(self, dataset: str, entry: Entry) -> LandingFile:
        not_before, name, attempts = names.dropped_as(entry.place[-1])
        place = (_IN_HAND, dataset, *entry.place)
        relative = PurePath(*entry.place[:-1], name)
        until = self._settled(entry.status) if not_before is None else not_before
        identity = identity_of(entry.status)
        return LandingFile(dataset, self.tree.path(place), place, relative, identity, until, True, attempts)

    def _found_dropped(self, dataset: str, entry: Entry) -> LandingFile:
        place, until = (dataset, *entry.place), self._settled(entry.status)
        path, identity = self.tree.path(place), identity_of(entry.status)
        return LandingFile(dataset, path, place, PurePath(*entry.place), identity, until, in_hand=False)

    def _settled(self, status: os.stat_result) -> datetime:
        return changed_at(status, clock.now()) + self._settle

    def _moved(self, file: LandingFile, parents: Place, not_before: datetime, attempts: int) -> LandingFile | None:
        """Not durable: after a power loss the file may be back in its old place, and its batches have their keys."""
        target = (*parents, names.in_hand(file.relative.name, not_before, attempts))
        try:
            self.tree.move(file.place, target, durable=False)
            status = self.tree.status(target)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unmovable(file, error) from error
        return None if status is None else self._found_in_hand(file.dataset, Entry(target[2:], status, ""))

    def _put(self, file: LandingFile, parent: str, content: str) -> PurePath:
        relative = PurePath(file.dataset) / names.archived(file.relative, content)
        try:
            self.tree.move(file.place, (parent, *relative.parts), durable=True)
        except FileNotFoundError:  # another run has moved it already
            return relative
        except OSError as error:
            raise unmovable(file, error) from error
        return relative

    def _stranger(self, name: str, entry: Entry) -> Ignored | None:
        if names.is_unfinished(name) and name not in _OWN:
            return None
        return Ignored(names.shown(name), entry.refused or "files belong in a folder that is named after their dataset")

    def _rejected(self, dataset: str) -> Iterator[Entry]:
        return (one for one in self._plain((_REJECTED, dataset)) if not one.place[-1].endswith(names.REASON))

    def _plain(self, place: Place) -> Iterator[Entry]:
        return (entry for entry in self._walk(place) if not why_ignored(entry))

    def _walk(self, place: Place) -> Iterator[Entry]:
        try:
            yield from self.tree.walk(place, names.is_unfinished)
        except OSError as error:
            raise hidden(self.tree.path(place), error) from error

    def _folders(self, place: Place) -> list[str]:
        return [entry.place[0] for entry in self._entries(place) if entry.is_folder]

    def _entries(self, place: Place) -> Iterator[Entry]:
        """None where a link is in the place of one of our folders; `strangers` lists the link."""
        try:
            yield from self.tree.entries(place)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise hidden(self.tree.path(place), error) from error
