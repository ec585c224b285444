"""Stages the files of the landing folder, one after the other, and moves them to the archive.

Taken → named by its content → checked → staged → archived. After a crash before the last step, the file is still taken,
the next run processes it again, and durable batches are skipped by their keys. A file that can never be staged is
rejected; one that may be staged later is postponed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path, PurePath

from timestore_pipeline.doors.landing import names
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.doors.landing.landing_file import LandingFile
from timestore_pipeline.doors.landing.reports import FileOutcome, Result, reason_text
from timestore_pipeline.errors import FileChanged, Interrupted, InvalidData, LandingUnusable, TimestoreError
from timestore_pipeline.ingest.decided import Decided
from timestore_pipeline.ingest.formats.path_columns import pairs, path_columns, with_path_columns
from timestore_pipeline.ingest.formats.sources import open_source
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.staging_loop import FileByFile, StagedTally
from timestore_pipeline.ingest.trial import Trial
from timestore_pipeline.ingest.values.notes import Note
from timestore_pipeline.ingest.whole_file import check_rows, content_digest, is_the_files_fault, staging_loop
from timestore_pipeline.system import clock
from timestore_pipeline.system.confined import readable
from timestore_pipeline.system.durable import lock

RETRY_AFTER = timedelta(seconds=30)  # of a postponed file
_PREFIX = "landing"  # of the keys
_MOST_ATTEMPTS = 3  # to read a file that did not finish; a full disk or a busy ledger does not count
_PATIENCE = timedelta(minutes=1)  # an unreadable file that is younger may be a slow copy

_log = logging.getLogger(__name__)


@dataclass
class Intake(FileByFile):
    """The work of one run; the archive is listed at most once per dataset."""

    folder: LandingFolder
    staging: StagingManager
    progress: Callable[[int], None] = lambda _: None
    trial: Trial = field(default_factory=Trial)
    _known: dict[str, set[str]] = field(default_factory=dict)
    _file: LandingFile = field(init=False)  # the current one, under its current name

    def run(self, datasets: list[str], seconds: float = float("inf")) -> Iterator[FileOutcome]:
        """Stage every file that is ready, taken ones first; begin none after so many seconds.

        A folder that cannot be listed has an outcome of its own. Raises `Interrupted` after `stop`.
        """
        with self.trial:
            yield from self._run(datasets, clock.monotonic() + seconds)

    def _run(self, datasets: list[str], deadline: float) -> Iterator[FileOutcome]:
        for dataset in datasets:
            try:
                files = self.folder.ready(dataset)
            except LandingUnusable as error:
                yield FileOutcome(dataset, "", 0, Result.POSTPONED, StagedTally(), error=error)
                continue
            for file in files:
                if clock.monotonic() >= deadline:
                    return
                self._check_not_stopped()
                yield from self._one(file)

    def _check_not_stopped(self) -> None:
        if self._stopped:
            raise Interrupted("stopped on request", hint="run it again: nothing is lost, and nothing doubled")

    def _one(self, listed: LandingFile) -> Iterator[FileOutcome]:
        try:
            _check_shown(listed)
            file = self.folder.take(listed)
            if file is not None and file.identity == listed.identity:
                yield from self._in_hand(file)
        except LandingUnusable as error:  # it cannot be moved
            yield _outcome(listed, Result.POSTPONED, StagedTally(), error=error)

    def _in_hand(self, file: LandingFile) -> Iterator[FileOutcome]:
        self._file = file
        try:
            with self.folder.opened(file) as descriptor:
                if descriptor is not None and lock(descriptor) and self.folder.is_unchanged(file):
                    counted = self.folder.put_off(file, clock.now(), min(file.attempts + 1, _MOST_ATTEMPTS + 1))
                    if counted is not None:
                        yield self._process(counted, descriptor)
        except LandingUnusable as error:
            yield self._put_off(self._file, StagedTally(), error)

    def _process(self, file: LandingFile, descriptor: int) -> FileOutcome:
        """Reads the open descriptor, not the name, which another file may get meanwhile."""
        tally, content, path = StagedTally(), "", file.path
        self._file = file
        before = self.staging.record(file.dataset)
        notes: tuple[Note, ...] | None = None
        try:
            with readable(descriptor, file.path, names.suffixes(file.relative.name)) as path:
                columns = pairs(path_columns(file.relative.parts[:-1]))
                content = content_digest(path, *columns, most=file.bytes)
                self._check_unchanged(file)
                self._check_attempts(file)
                notes = self._stage_unless_known(file, path, content, tally)
        except Interrupted:
            self.folder.put_off(self._file, clock.now(), file.attempts - 1)
            raise
        except OSError as error:
            return self._put_off(self._file, tally, _refused(file, error))
        except TimestoreError as error:
            error.args = (str(error).replace(str(path), file.name),)  # the name under which it was dropped
            if self._is_refused(file, tally, error):
                return self._rejected(self._file, content, tally, error)
            return self._put_off(self._file, tally, error, file.attempts if _is_memory(error) else 0)
        except Exception as error:  # noqa: BLE001  # one file must not block all files after it
            _log.exception("%s cannot be staged", file.name)
            return self._put_off(self._file, tally, _unforeseen(file, error), file.attempts)
        place = self.folder.archive(self._file, content)
        if notes is None or (tally.duplicates and not tally.batches):
            return _outcome(file, Result.DUPLICATE, tally, place)
        decided = Decided.by(before, self.staging.record(file.dataset), notes)
        return replace(_outcome(file, Result.STAGED, tally, place), decided=decided)

    def _stage_unless_known(
        self, file: LandingFile, path: Path, content: str, tally: StagedTally
    ) -> tuple[Note, ...] | None:
        """Stage the file; returns the notes on it, None = its content was staged before."""
        known = self._archived(file.dataset)
        if names.beginning(content) in known:
            return None
        notes = self._stage(file, path, content, tally)
        known.add(names.beginning(content))
        return notes

    def _stage(self, file: LandingFile, path: Path, content: str, tally: StagedTally) -> tuple[Note, ...]:
        """`tally` counts the durable batches, also when this raises."""

        def durable(rows: int) -> None:
            """A file that makes progress does not crash its reader: reset its attempts after the first batch."""
            if tally.batches == 1 and self._file.attempts:
                self._file = self.folder.put_off(self._file, clock.now()) or self._file
            self.progress(rows)

        self.trial.check(path, self._check_not_stopped)
        reading = self.staging.reading(file.dataset)
        columns = path_columns(file.relative.parts[:-1])
        source = open_source(path, reading).with_columns(with_path_columns(columns, reading, {}))
        check_rows(self.staging, file.dataset, source, self._check_not_stopped)
        self._check_unchanged(file)
        self._loop = staging_loop(self.staging, file.dataset, source, _PREFIX, content, durable)
        self._loop.tally = tally
        self._check_not_stopped()
        self._loop.run([source])
        self._check_unchanged(file)
        return source.notes

    def _check_attempts(self, file: LandingFile) -> None:
        if file.attempts > _MOST_ATTEMPTS:
            raise InvalidData(
                f"{file.name} was not finished in {_MOST_ATTEMPTS} attempts: its reader died, or had too little memory",
                dataset=file.dataset,
                hint="look into the system's log; write the file in smaller batches or row groups, then drop it again",
            )

    def _check_unchanged(self, file: LandingFile) -> None:
        if not self.folder.is_unchanged(self._file):
            raise FileChanged(
                f"{file.name} was written to while it was read",
                dataset=file.dataset,
                hint="write files elsewhere on the same filesystem, and rename them into the landing folder once whole",
            )

    def _is_refused(self, file: LandingFile, tally: StagedTally, error: TimestoreError) -> bool:
        """False = it may be staged later."""
        if isinstance(error, FileChanged):
            return bool(tally.batches)  # batches of the former content are durable: an operator has to look at it
        return is_the_files_fault(error) and not self._may_be_unfinished(file, error)

    def _rejected(self, file: LandingFile, content: str, tally: StagedTally, error: TimestoreError) -> FileOutcome:
        place = self.folder.reject(file, content, reason_text(file.name, content, error, tally))
        return _outcome(file, Result.REJECTED, tally, place, error)

    def _put_off(self, file: LandingFile, tally: StagedTally, error: TimestoreError, attempts: int = 0) -> FileOutcome:
        self.folder.put_off(file, clock.now() + RETRY_AFTER, attempts)
        return _outcome(file, Result.POSTPONED, tally, error=error)

    def _may_be_unfinished(self, file: LandingFile, error: TimestoreError) -> bool:
        """An unreadable file may be the beginning of a readable one."""
        written = clock.from_micros(file.identity[2] // 1000)
        return error.code == "unreadable_input" and timedelta(0) <= clock.now() - written < _PATIENCE

    def _archived(self, dataset: str) -> set[str]:
        """Contents in the archive; needed because keys are forgotten after their retention."""
        if dataset not in self._known:
            found = (names.content_of(path.name) for path in self.folder.archived(dataset))
            self._known[dataset] = {content for content in found if content is not None}
        return self._known[dataset]


def _outcome(
    file: LandingFile,
    result: Result,
    tally: StagedTally,
    place: PurePath | None = None,
    error: TimestoreError | None = None,
) -> FileOutcome:
    relative = "" if place is None else names.shown(place)
    return FileOutcome(file.dataset, names.shown(file.relative), file.bytes, result, tally, relative, error)


def _check_shown(file: LandingFile) -> None:
    """Raise for a folder name with unprintable characters: taking the file would change the value in the name."""
    odd = next((name for name in file.relative.parts[:-1] if "=" in name and names.shown(name) != name), None)
    if odd is not None:
        raise LandingUnusable(
            f"{file.name}: the folder {names.shown(odd)!r} has characters that cannot be printed",
            dataset=file.dataset,
            hint="escape them, such as station=caf%C3%A9",
        )


def _refused(file: LandingFile, error: OSError) -> LandingUnusable:
    return LandingUnusable(
        f"{file.name} cannot be read: {error.strerror or error}",
        dataset=file.dataset,
        hint="give the ingesting user access to the file; it stays where it is",
    )


def _is_memory(error: TimestoreError) -> bool:
    return isinstance(error.__cause__, MemoryError)  # Arrow's is one, too


def _unforeseen(file: LandingFile, error: Exception) -> TimestoreError:
    return TimestoreError(
        f"{file.name} cannot be staged: {type(error).__name__}: {error}",
        dataset=file.dataset,
        hint="the log has the details; the file stays where it is, and the others are staged",
    )
