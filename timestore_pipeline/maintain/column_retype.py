"""Changes the type of a published column: every file of the table is rewritten, and one commit replaces them all.

    inspect -> examine every value -> write new files, proven -> one commit: old files out, new ones in, the new type
                |                      |                          |
                +-> refused, by name   +-> a flush came between:  +-> the ledger adopts the type
                                           inspect again, write the new files

Flushes, producers and queries continue meanwhile. A flush that was exported in the old type and is not published yet
when the commit is made is refused by the log, and its batches are exported again. A crash before the commit leaves
files that no commit names, which the next maintenance deletes; after a crash behind the commit, the next flush adopts
the type into the ledger. Decision 0025.
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
from timestore_pipeline.maintain.dataset_maintenance import MaintainOptions, Progress, maintaining, row_bytes
from timestore_pipeline.maintain.grouping import FileGroup, plan_all
from timestore_pipeline.maintain.maintenance_report import RetypeReport, Unfit
from timestore_pipeline.maintain.retype_request import ColumnType, column_type, unfit_batches
from timestore_pipeline.maintain.rewrite import Rewriter
from timestore_pipeline.model.canonical import canonical_schema
from timestore_pipeline.model.declared import type_text
from timestore_pipeline.model.lake import ExportedFile
from timestore_pipeline.model.recast import Leeway, recast
from timestore_pipeline.model.sql_types import duckdb_type, quote
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.system.legible import LogEvent

_log = logging.getLogger(__name__)

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class RetypeRequest:
    """A column and its new type."""

    dataset: str
    column: str  # or the path of a field: "o.a"
    type: str  # as it would be declared
    leeway: Leeway = field(default_factory=Leeway)


@contextmanager
def retyping(area: StagingArea, lake: Lake, request: RetypeRequest, options: MaintainOptions) -> Iterator[Retyping]:
    """Excludes other maintenance of the dataset on this host; raise `MaintenanceInProgress`."""
    with maintaining(area.directory.root / "maintain", request.dataset):
        yield Retyping(area, lake, request, options)


@dataclass(slots=True)
class Retyping:
    """One column's change of type."""

    area: StagingArea
    lake: Lake
    request: RetypeRequest
    options: MaintainOptions
    _swaps: list[Replacement] = field(default_factory=list)
    _written: dict[str, ExportedFile] = field(default_factory=dict)  # by path: the new files of `_swaps`

    def examine(self, progress: Progress) -> RetypeReport:
        """Read every published and staged value of the column; nothing is changed.

        Raise when the request cannot be met for any values, see `_inspect`.
        """
        found, change = self._inspect()
        report = RetypeReport(
            self.request.dataset, change.path, type_text(change.before), type_text(change.after), self.options.dry_run
        )
        report.files, report.rows = len(found.files), sum(file.rows for file in found.files)
        report.bytes = sum(file.bytes for file in found.files)
        if change.is_needed:
            self._examine_files(found, change, report, progress)
            report.unfit_batches = unfit_batches(
                self.area, self.request.dataset, change.column, change.column_after, self.request.leeway
            )
        return report

    def carry_out(self, report: RetypeReport, progress: Progress) -> None:
        """Make the change that was examined.

        Raise `InvalidData` that names a value which does not fit, `Conflict` for a table that cannot be retyped,
        `Corrupted` when the proof fails, `Fenced`, `DiskFull`, `RetryLater`: the table is unchanged. `OutcomeUnknown`:
        run it again to see whether it was changed.
        """
        report.refuse_unfit()
        if report.needed:
            self._rewrite(report, progress)
        record = self.area.ledger.datasets.find(self.request.dataset)
        if record is not None and record.schema is not None:
            fit_table(self.area, self.lake.table(self.request.dataset), self.request.dataset)

    def _inspect(self) -> tuple[TableFiles, ColumnType]:
        """The files of the newest version, and the column in it.

        Raise `MissingTable`, `Conflict` or `UnsupportedTable` for files or features of other tools, `InvalidMetadata`
        for an unknown column or type, `InvalidData` when a time zone must be given.
        """
        dataset = self.request.dataset
        record = self.area.ledger.datasets.find(dataset)
        found = self._table.files(None if record is None else record.time_column)
        if found is None:
            column = f"{self.request.column}={self.request.type}"
            hint = f"declare it: `timestore datasets set {dataset} schema.columns.{column}`"
            raise MissingTable(f"dataset {dataset!r} has no published rows", dataset=dataset, hint=hint)
        self._table.check_writable()
        if found.foreign:
            hint = "retype it with the tool that wrote them, or stage the rows again under a new name"
            raise Conflict(f"other tools wrote {found.foreign} files of {dataset!r}", dataset=dataset, hint=hint)
        laid_out_by = found.time_column if len(found.columns.fields) > len(found.schema) else None
        if record is not None:
            laid_out_by = record.time_column
        schema = canonical_schema(found.schema)
        return found, column_type(schema, self.request.column, self.request.type, self.request.leeway, laid_out_by)

    @property
    def _table(self) -> TableMaintenance:
        return self.lake.table(self.request.dataset).upkeep(self.area.shard)

    def _rewriter(self, found: TableFiles, change: ColumnType) -> Rewriter:
        task = f"the change of type of {self.request.column!r} of {self.request.dataset!r}"
        unchanged = f"CAST({quote(change.column)} AS {duckdb_type(change.column_before)})"
        cast = recast(unchanged, change.column_before, change.column_after, self.request.leeway)
        return Rewriter(
            self.area,
            self._table,
            self.request.dataset,
            task,
            found.schema,
            found.time_column,
            self.options.export_of(self.area.ledger.datasets.find(self.request.dataset)),
            {change.column: cast},
        )

    def _groups(self, found: TableFiles) -> list[FileGroup]:
        """Groups of the files that are not rewritten yet."""
        known = {file.path for swap in self._swaps for file in swap.old}
        files = [file for file in found.files if file.path not in known]
        return plan_all(files, self.options.limits, row_bytes(self.area, self.request.dataset))

    def _examine_files(self, found: TableFiles, change: ColumnType, report: RetypeReport, progress: Progress) -> None:
        rewriter = self._rewriter(found, change)
        for group in self._with_progress(self._groups(found), progress):
            with rewriter.reading(group) as (rows, _):
                report.unfit += rows.count_unfit()
                examples = rows.unfit(_EXAMPLES - len(report.examples))
                report.examples += [Unfit(group.files[one.file].path, one.row, one.text) for one in examples]

    def _with_progress(self, groups: list[FileGroup], progress: Progress) -> Iterator[FileGroup]:
        for number, group in enumerate(groups):
            progress(self.request.dataset, number, len(groups))
            yield group
        progress(self.request.dataset, len(groups), len(groups))

    def _rewrite(self, report: RetypeReport, progress: Progress) -> None:
        generation, claim = self._table.next_generation(), uuid.uuid4().hex
        found, change = self._inspect()
        rewriter = self._rewriter(found, change)
        rewriter.check_room(self._groups(found))
        with rewriter.burnt_on_error(generation, claim, self._written):
            report.version = self._committed(generation, claim, progress)
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

    def _committed(self, generation: int, claim: str, progress: Progress) -> int | None:
        """The version; files that flushes add meanwhile are rewritten, too, until there are none."""
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(generation, claim, progress)
            except Conflict as conflict:
                if type(conflict) is not Conflict:
                    raise
                _log.info("dataset %s: the table changed meanwhile, retrying: %s", self.request.dataset, conflict)
        hint = "try again when fewer flushes and compactions are running; nothing was changed"
        raise RetryLater(f"others kept changing the table of {self.request.dataset!r}", hint=hint)

    def _attempt(self, generation: int, claim: str, progress: Progress) -> int | None:
        found, change = self._inspect()
        if not change.is_needed:
            raise RetryLater(f"column {change.path!r} was given that type meanwhile", dataset=self.request.dataset)
        self._drop_replaced(found)
        rewriter = self._rewriter(found, change)
        memory = row_bytes(self.area, self.request.dataset)
        for group in self._with_progress(self._groups(found), progress):
            new = rewriter.write(group, generation, memory)
            self._written[new.path] = new
            self._swaps.append(Replacement(group.files, new))
        info = {
            "maintainer": self.area.shard,
            "dataset": self.request.dataset,
            "column": change.path,
            "from": type_text(change.before),
            "to": type_text(change.after),
            "read": str(self.request.leeway),
            "rows": sum(file.rows for file in found.files),
        }
        type_change = TypeChange(change.column, change.column_after, self.request.leeway, found.columns)
        return self._table.retype(generation, type_change, self._swaps, claim, info)

    def _drop_replaced(self, found: TableFiles) -> None:
        """Delete new files whose old files another process replaced meanwhile."""
        live = {file.path for file in found.files}
        for swap in [swap for swap in self._swaps if not live.issuperset(file.path for file in swap.old)]:
            self._table.delete([swap.new.path])
            self._swaps.remove(swap)
            del self._written[swap.new.path]
