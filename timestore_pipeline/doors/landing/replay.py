"""Stages archived files again, all their rows or those of one day, to restore rows that were deleted from the lake.

Under the files' own keys the rows would be duplicates, so a replay has a name of its own, and its own list of files, in
`<landing>/_replays/<dataset>/`. Both are fixed before anything is staged. After a crash, the same command continues
under the same name with the same files: files that were dropped meanwhile are staged already. At its end the name is
deleted, and the next replay gets a new one. Before it begins, it checks that the rows are gone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.doors.landing import names
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.errors import (
    Corrupted,
    Interrupted,
    InvalidInput,
    LandingUnusable,
    ReplayInProgress,
    RowsPresent,
    TimestoreError,
    error_document,
)
from timestore_pipeline.ingest.formats.path_columns import pairs, path_columns, with_path_columns
from timestore_pipeline.ingest.formats.sources import open_source
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.staging_loop import FileByFile, StagedTally
from timestore_pipeline.ingest.values.conform import conform
from timestore_pipeline.ingest.values.interpret import interpret
from timestore_pipeline.ingest.values.policy import ValuePolicy
from timestore_pipeline.ingest.whole_file import content_digest, is_the_files_fault, staging_loop
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.system.confined import Place, readable
from timestore_pipeline.system.durable import lock

_MOST_PLAN = 256 << 20  # bytes; a million files


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """The name and the files of a replay; on disk from before it begins until its end."""

    name: str  # in the keys; unique
    files: tuple[str, ...]  # relative to the dataset's folder in the archive
    checked: bool  # whether the check found that the rows are gone


@dataclass(frozen=True, slots=True)
class Replayed:
    """One file. `tally` counts the rows that were staged again, by this run or by a killed one before it."""

    file: str
    tally: StagedTally
    error: TimestoreError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Keys are a contract."""
        rows = self.tally.rows + self.tally.duplicate_rows
        return {"file": self.file, "rows": rows, "error": error_document(self.error)}


@dataclass
class Replay(FileByFile):
    """The replay of one dataset; day None = all rows. files: a pattern of paths in its archive, such as `2013-*`."""

    folder: LandingFolder
    dataset: str
    day: Day | None
    files: str = "*"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raise `ReplayInProgress` while another replay of the same dataset is running."""
        with ExitStack() as stack:
            with self._usable():
                held = stack.enter_context(self.folder.tree.file((*self._place[:-1], "lock"), make=True))
            if not lock(held):
                hint = "wait for it to end, then run the command again"
                raise ReplayInProgress(f"{self.dataset!r} is being replayed", dataset=self.dataset, hint=hint)
            yield

    def begin(self, present: Callable[[], int]) -> ReplayPlan:
        """The plan of an interrupted replay, or a new one. To be called before `run`, inside `alone`.

        present: counts these rows in the lake, after publishing all staged rows. Raises `RowsPresent` if there are any,
        except for a plan that was checked before: then they are its own.
        """
        found = self._read()
        plan = found or self._new_plan()
        if plan.checked:
            return plan
        rows = present()
        if rows:
            if found is None:
                self._forget()
            raise self._rows_present(rows)
        plan = replace(plan, checked=True)
        self._write(plan)
        return plan

    def run(self, plan: ReplayPlan, staging: StagingManager) -> Iterator[Replayed]:
        """File by file. Raises errors that affect all files, such as a full disk; the plan is kept and can continue."""
        for file in plan.files:
            if self._stopped:
                raise Interrupted("stopped on request", hint="run the same command again to continue")
            yield self._one(plan, file, staging)
        self._forget()

    def _one(self, plan: ReplayPlan, file: str, staging: StagingManager) -> Replayed:
        tally = StagedTally()
        path = self.folder.archive_of(self.dataset) / file
        try:
            with (
                self.folder.opened_archived(self.dataset, PurePath(file)) as descriptor,
                readable(descriptor, path, names.suffixes(path.name)) as held,
            ):
                self._stage(plan, path, held, staging, tally)
        except OSError as error:
            hint = "restore it from a backup, then replay it alone with --beside --files"
            return Replayed(names.shown(file), tally, Corrupted(f"{names.shown(path)}: {error}", hint=hint))
        except TimestoreError as error:
            if not (is_the_files_fault(error) or isinstance(error, Corrupted)):
                raise
            return Replayed(names.shown(file), tally, error)
        return Replayed(names.shown(file), tally)

    def _stage(self, plan: ReplayPlan, path: Path, held: Path, staging: StagingManager, tally: StagedTally) -> None:
        """held: a path of the open descriptor; `path` is for messages."""
        columns = path_columns(path.relative_to(self.folder.archive_of(self.dataset)).parts[:-1])
        content = content_digest(held, *pairs(columns))
        if names.content_of(path.name) != names.beginning(content):
            hint = "it was damaged or replaced in the archive: restore it from a backup"
            raise Corrupted(f"{names.shown(path)} is not the file that was archived", dataset=self.dataset, hint=hint)
        reading = staging.reading(self.dataset)
        source = open_source(held, reading).with_columns(with_path_columns(columns, reading, {}))
        if self.day is not None:
            source = source.only(self.day.keep)
        self._loop = staging_loop(staging, self.dataset, source, f"replay/{plan.name}", content, lambda _: None)
        self._loop.tally = tally
        if self._stopped:
            self._loop.stop()
        self._loop.run([source])

    def _new_plan(self) -> ReplayPlan:
        """Files of the same content count once. Files that are archived later are not part of the replay."""
        archive = self.folder.archive_of(self.dataset)
        found = dict[str | None, str]()
        for path in self.folder.archived(self.dataset):
            relative = str(path.relative_to(archive))
            if fnmatch(relative, self.files):
                found.setdefault(names.content_of(path.name), relative)
        plan = ReplayPlan(uuid.uuid4().hex[:12], tuple(found.values()), checked=False)
        self._write(plan)
        return plan

    def _rows_present(self, rows: int) -> RowsPresent:
        return RowsPresent(
            f"the lake has {rows} of the rows that would be replayed",
            dataset=self.dataset,
            hint="a replay restores deleted rows: delete the remaining ones first, or add to them with --beside",
        )

    @property
    def _place(self) -> Place:
        subject = f"{self.day.first if self.day else 'all'} {self.files}"
        return ("_replays", self.dataset, f"{sha256(subject.encode()).hexdigest()[:16]}.json")

    def _read(self) -> ReplayPlan | None:
        with self._usable():
            try:
                document = json.loads(self.folder.tree.read(self._place, _MOST_PLAN))
                return ReplayPlan(str(document["name"]), tuple(map(str, document["files"])), bool(document["checked"]))
            except FileNotFoundError:
                return None

    def _write(self, plan: ReplayPlan) -> None:
        with self._usable():
            self.folder.tree.write(self._place, json.dumps(asdict(plan)))

    def _forget(self) -> None:
        with self._usable(), suppress(FileNotFoundError):  # another run of the same plan has removed it already
            self.folder.tree.remove(self._place)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        path = self.folder.tree.path(self._place)
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            hint = f"look at it, and move it away if no replay of {self.dataset} should be continued"
            raise LandingUnusable(f"{path} cannot be used: {error}", dataset=self.dataset, hint=hint) from error


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one dataset."""

    column: str
    type: pa.DataType  # the dataset's
    first: pa.Scalar
    last: pa.Scalar  # inclusive
    policy: ValuePolicy  # how the dataset interprets times

    @classmethod
    def of(cls, record: DatasetRecord, day: date) -> Day:
        """Raise `InvalidInput` for a dataset without a time column: its rows belong to no day."""
        if record.time_column is None or record.schema is None:
            hint = "leave --day out to replay everything"
            raise InvalidInput(f"dataset {record.name!r} has no time column", dataset=record.name, hint=hint)
        type_ = record.schema.field(record.time_column).type
        ends = (datetime.combine(day, time.min), datetime.combine(day, time.max))
        first, last = (day, day) if pa.types.is_date(type_) else ends
        policy = ValuePolicy.of(record.metadata)
        return cls(record.time_column, type_, pa.scalar(first, type_), pa.scalar(last, type_), policy)

    def keep(self, table: pa.Table) -> pa.Table:
        """A file's rows of the day; its column may have another type, as long as the dataset accepts it."""
        if self.column not in table.column_names:
            return table.slice(0, 0)
        schema = pa.schema([(self.column, self.type)])
        plain = interpret(table.select([self.column]), self.policy, schema)
        times = conform(plain, schema, None, self.policy).column(0)
        return table.filter(pc.and_(pc.greater_equal(times, self.first), pc.less_equal(times, self.last)))

    def expression(self) -> pc.Expression:
        """The same condition for rows in the lake."""
        return (pc.field(self.column) >= self.first) & (pc.field(self.column) <= self.last)
