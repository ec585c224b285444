"""`timestore datasets retype`: a published column gets another type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from timestore_pipeline.cli.arguments import Dataset
from timestore_pipeline.cli.output import AsJson, files_bar, print_fields, print_line, print_verdict
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import count, size
from timestore_pipeline.errors import TimestoreError

if TYPE_CHECKING:  # imported in the function: the other commands of the group need no lake
    from timestore_pipeline.maintain.column_retype import Retyping
    from timestore_pipeline.maintain.maintenance_report import RetypeReport


def retype(
    dataset: Dataset,
    column: Annotated[
        str, typer.Argument(metavar="COLUMN", help="A published column, or a field of a struct: place.id")
    ],
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="As in schema.columns: double, decimal(20,4), string")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    parse: Annotated[
        bool, typer.Option("--parse", help="Take text that reads as a value without being its own spelling: 007, +1.50")
    ] = False,
    local_is_utc: Annotated[
        bool, typer.Option("--local-is-utc", help="Timestamps without a time zone are in UTC.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give a published column another type.

    Every value, published or staged, must be the same in the new type; one that is not is named, and nothing is
    changed. All files of the table are written anew, proven to hold the same rows, and replaced in one commit, beside
    running producers, flushes and readers. Killed, it is run again. The table as it was can be read by its version
    until `timestore maintain` deletes the old files.

    \b
    Example:
      timestore datasets retype weather wind double --dry-run
    """
    from timestore_pipeline.maintain.column_retype import RetypeRequest, retyping
    from timestore_pipeline.model.recast import Leeway

    with open_store() as store:
        request = RetypeRequest(dataset, column, type_, Leeway(parse, local_is_utc))
        options = store.maintain_options(dry_run=dry_run)
        with retyping(store.area, store.lake, request, options) as work:
            with files_bar(hidden=as_json) as progress:
                report = work.examine(progress)
            if not as_json:
                _print_summary(report)
            _attempt(work, report, quiet=as_json)
    print_verdict(report, _print_outcome, as_json=as_json)


def _attempt(work: Retyping, report: RetypeReport, *, quiet: bool) -> None:
    try:
        report.refuse_unfit()
        if not report.dry_run:
            with files_bar(hidden=quiet) as progress:
                work.carry_out(report, progress)
    except TimestoreError as error:
        report.errors.append(error)


def _print_summary(report: RetypeReport) -> None:
    fields = {
        "column": f"{report.column} of {report.dataset}",
        "type": f"{report.before} -> {report.after}",
        "to rewrite": f"{count(report.files, 'file')}, {count(report.rows, 'row')}, {size(report.bytes)}"
        if report.needed
        else "nothing: it has that type",
        "do not fit": f"{count(report.unfit, 'row')}, {count(len(report.unfit_batches), 'batch')} staged",
    }
    print_fields(fields.items())
    for one in report.examples:
        print_line(f"  {one.value}  in row {one.row} of {one.file}")
    for identity, problem in list(report.unfit_batches.items())[:5]:
        print_line(f"  batch {identity}: {problem}")


def _print_outcome(report: RetypeReport) -> None:
    for error in report.errors:
        print_line(f"{error} [{error.code}]", "red")
        print_line(f"  hint: {error.hint}")
    if report.changed:
        written = f"{count(report.written_files, 'file')}, {size(report.written_bytes)}"
        print_line(f"{report.dataset}: {report.column} is {report.after} since version {report.version}: {written}")
    elif report.dry_run and report.ok:
        print_line("nothing was changed: this is what would be done")
