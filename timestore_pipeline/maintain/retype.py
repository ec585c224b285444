"""A published column is given another type: every file of the table is written anew, and one commit changes it all.

    look -> examine every value -> write new files, proven -> one commit: old files out, new ones in, the new type
             |                      |                          |
             +-> refused, by name   +-> a flush came between: look again, write what is new -> the ledger learns

Flushes, producers and queries go on meanwhile. A flush that was exported in the old type and is not published yet when
the commit is made is refused by the log, and its batches are exported again. A crash before the commit leaves files
that no commit names, which the next maintenance deletes; one after it leaves a ledger that learns with the next flush.
Decision 0025.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from timestore_pipeline.errors import Conflict, MissingTable, RetryLater
from timestore_pipeline.flush.schema_sync import fit_table
from timestore_pipeline.lake.handle import ATTEMPTS
from timestore_pipeline.lake.maintenance import TableFiles, TableMaintenance
from timestore_pipeline.lake.replacing import Replacement, TypeChange
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.maintain.column_type import ColumnType, column_type
from timestore_pipeline.maintain.locking import maintaining
from timestore_pipeline.maintain.plan import Group, plan_all
from timestore_pipeline.maintain.retype_report import RetypeReport, Unfit
from timestore_pipeline.maintain.rewrite import Rewriter
from timestore_pipeline.maintain.run import MaintainOptions, Told, row_bytes
from timestore_pipeline.maintain.staged_values import unfit_batches
from timestore_pipeline.model.canonical import canonical_schema
from timestore_pipeline.model.declared import type_text
from timestore_pipeline.model.lake import ExportedFile
from timestore_pipeline.model.log_event import LogEvent
from timestore_pipeline.model.recast import Leeway, recast
from timestore_pipeline.model.sql_types import duckdb_type, quote
from timestore_pipeline.staging.area import StagingArea

_log = logging.getLogger(__name__)

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for."""

    dataset: str
    column: str  # or the path of a field: "o.a"
    type: str  # as it would be declared
    leeway: Leeway = field(default_factory=Leeway)


@contextmanager
def retyping(area: StagingArea, lake: Lake, wish: Wish, options: MaintainOptions) -> Iterator[Retyping]:
    """Keeps other maintenance of the dataset on this host out; raise `MaintenanceInProgress`."""
    with maintaining(area.directory.root / "maintain", wish.dataset):
        yield Retyping(area, lake, wish, options)


@dataclass(slots=True)
class Retyping:
    """One column's change of type."""

    area: StagingArea
    lake: Lake
    wish: Wish
    options: MaintainOptions
    _swaps: list[Replacement] = field(default_factory=list)
    _written: dict[str, ExportedFile] = field(default_factory=dict)  # by path: the new files of `_swaps`

    def examine(self, told: Told) -> RetypeReport:
        """Read every published value of the column, and the staged ones; nothing is changed.

        Raise when the wish cannot be granted whatever the values are, see `_look`.
        """
        found, change = self._look()
        report = RetypeReport(
            self.wish.dataset, change.path, type_text(change.before), type_text(change.after), self.options.dry_run
        )
        report.files, report.rows = len(found.files), sum(file.rows for file in found.files)
        report.bytes = sum(file.bytes for file in found.files)
        if change.is_needed:
            self._examine_files(found, change, report, told)
            report.unfit_batches = unfit_batches(
                self.area, self.wish.dataset, change.column, change.column_after, self.wish.leeway
            )
        return report

    def carry_out(self, report: RetypeReport, told: Told) -> None:
        """Do what was examined.

        Raise `InvalidData` that names a value which does not fit, `Conflict` for a table that cannot be retyped,
        `Corrupted` when the proof fails, `Fenced`, `DiskFull`, `RetryLater`: the table is as it was. `OutcomeUnknown`:
        doing it again tells.
        """
        report.refuse_unfit()
        if report.needed:
            self._rewrite(report, told)
        record = self.area.ledger.datasets.find(self.wish.dataset)
        if record is not None and record.schema is not None:
            fit_table(self.area, self.lake.table(self.wish.dataset), self.wish.dataset)

    def _look(self) -> tuple[TableFiles, ColumnType]:
        """What the newest version has.

        Raise `MissingTable`, `Conflict` or `UnsupportedTable` for files or features that are not ours,
        `InvalidMetadata` for a column or a type that there is not, `InvalidData` where a time zone must be said.
        """
        dataset = self.wish.dataset
        record = self.area.ledger.datasets.find(dataset)
        found = self._table.files(None if record is None else record.time_column)
        if found is None:
            hint = f"declare it: `timestore datasets set {dataset} schema.columns.{self.wish.column}={self.wish.type}`"
            raise MissingTable(f"nothing of dataset {dataset!r} is published", dataset=dataset, hint=hint)
        self._table.check_writable()
        if found.foreign:
            hint = "retype it with the tool that wrote them, or stage the rows again under a new name"
            raise Conflict(f"{found.foreign} files of {dataset!r} are not ours", dataset=dataset, hint=hint)
        laid_out_by = found.time_column if len(found.columns.fields) > len(found.schema) else None
        if record is not None:
            laid_out_by = record.time_column
        schema = canonical_schema(found.schema)
        return found, column_type(schema, self.wish.column, self.wish.type, self.wish.leeway, laid_out_by)

    @property
    def _table(self) -> TableMaintenance:
        return self.lake.table(self.wish.dataset).upkeep(self.area.shard)

    def _rewriter(self, found: TableFiles, change: ColumnType) -> Rewriter:
        what = f"the change of type of {self.wish.column!r} of {self.wish.dataset!r}"
        as_is = f"CAST({quote(change.column)} AS {duckdb_type(change.column_before)})"
        becomes = recast(as_is, change.column_before, change.column_after, self.wish.leeway)
        return Rewriter(
            self.area,
            self._table,
            self.wish.dataset,
            what,
            found.schema,
            found.time_column,
            self.options.export,
            {change.column: becomes},
        )

    def _groups(self, found: TableFiles) -> list[Group]:
        """Of the files that are not written anew yet."""
        known = {file.path for swap in self._swaps for file in swap.old}
        files = [file for file in found.files if file.path not in known]
        return plan_all(files, self.options.limits, row_bytes(self.area, self.wish.dataset))

    def _examine_files(self, found: TableFiles, change: ColumnType, report: RetypeReport, told: Told) -> None:
        rewriter = self._rewriter(found, change)
        for group in self._told_of(self._groups(found), told):
            with rewriter.reading(group) as (rows, _):
                report.unfit += rows.count_unfit()
                examples = rows.unfit(_EXAMPLES - len(report.examples))
                report.examples += [Unfit(group.files[one.file].path, one.row, one.text) for one in examples]

    def _told_of(self, groups: list[Group], told: Told) -> Iterator[Group]:
        for number, group in enumerate(groups):
            told(self.wish.dataset, number, len(groups))
            yield group
        told(self.wish.dataset, len(groups), len(groups))

    def _rewrite(self, report: RetypeReport, told: Told) -> None:
        generation, claim = self._table.next_generation(), uuid.uuid4().hex
        found, change = self._look()
        rewriter = self._rewriter(found, change)
        rewriter.check_room(self._groups(found))
        with rewriter.given_up_on_error(generation, claim, self._written):
            report.version = self._committed(generation, claim, told)
        report.changed = True
        report.written_files = len(self._written)
        report.written_bytes = sum(file.bytes for file in self._written.values())
        _log.info(
            "%s",
            LogEvent(
                "column retyped",
                dataset=report.dataset,
                column=report.column,
                before=report.before,
                after=report.after,
                rows=report.rows,
                files=report.written_files,
            ),
        )

    def _committed(self, generation: int, claim: str, told: Told) -> int | None:
        """The version; every file that comes in meanwhile is written anew, too, until nothing has come in."""
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(generation, claim, told)
            except Conflict as conflict:
                if type(conflict) is not Conflict:
                    raise
                _log.info("dataset %s: the table is looked at again: %s", self.wish.dataset, conflict)
        hint = "try again when fewer flushes and compactions are at work; nothing was changed"
        raise RetryLater(f"others kept changing the table of {self.wish.dataset!r}", hint=hint)

    def _attempt(self, generation: int, claim: str, told: Told) -> int | None:
        found, change = self._look()
        if not change.is_needed:
            raise RetryLater(f"column {change.path!r} was given that type meanwhile", dataset=self.wish.dataset)
        self._forget_replaced(found)
        rewriter = self._rewriter(found, change)
        memory = row_bytes(self.area, self.wish.dataset)
        for group in self._told_of(self._groups(found), told):
            new = rewriter.write(group, generation, memory)
            self._written[new.path] = new
            self._swaps.append(Replacement(group.files, new))
        info = {
            "maintainer": self.area.shard,
            "dataset": self.wish.dataset,
            "column": change.path,
            "from": type_text(change.before),
            "to": type_text(change.after),
            "read": str(self.wish.leeway),
            "rows": sum(file.rows for file in found.files),
        }
        becomes = TypeChange(change.column, change.column_after, self.wish.leeway, found.columns)
        return self._table.retype(generation, becomes, self._swaps, claim, info)

    def _forget_replaced(self, found: TableFiles) -> None:
        """Somebody else has replaced files that are written anew already: the new ones are of no use."""
        live = {file.path for file in found.files}
        for swap in [swap for swap in self._swaps if not live.issuperset(file.path for file in swap.old)]:
            self._table.delete([swap.new.path])
            self._swaps.remove(swap)
            del self._written[swap.new.path]
