"""`timestore maintain`: compact, vacuum, prune."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from timestore_pipeline.cli.arguments import SomeOrAll
from timestore_pipeline.cli.output import AsJson, files_bar, print_line, print_note, print_table, print_verdict
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import count, size
from timestore_pipeline.maintain import dataset_maintenance
from timestore_pipeline.maintain.maintenance_report import DatasetUpkeep, Upkeep

_NUMBERS = ("files", "after", "rows", "rewritten", "deleted", "freed", "log")
_COLUMNS = ("dataset", *_NUMBERS, "verdict")
_MB = 1_000_000
_MOST_LISTED = 20  # files of a dataset that a dry run names; --json has all


def maintain(
    datasets: SomeOrAll = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    target_file_mb: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="No compacted file is larger.", show_default="128")
    ] = None,
    min_files: Annotated[
        int | None, typer.Option(min=2, help="Small files of a partition worth a rewrite.", show_default="5")
    ] = None,
    retention_days: Annotated[
        float | None,
        typer.Option(min=0, max=36_525, help="Replaced files stay for as long, for readers.", show_default="7"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compact, vacuum and prune published tables.

    Small files of a partition become one, in time order; that it holds the same rows is proven before it replaces them.
    Files that were replaced longer ago than --retention-days are deleted, and so are files of flushes that died before
    they were published; never a file that another program wrote. Old commits of the log, idempotency keys past their
    retention and statistics of old files are removed. Safe beside running producers, flushes and readers, and after a
    kill it can be run again. Defaults are those of the TIMESTORE_MAINTAIN_* variables.

    \b
    Example:
      timestore maintain weather --dry-run
    """
    with open_store() as store, files_bar(hidden=as_json) as progress:
        names = dataset_maintenance.datasets_to_maintain(store.area, store.lake, datasets or ())
        options = store.maintain_options(
            target_bytes=None if target_file_mb is None else target_file_mb * _MB,
            min_files=min_files,
            retention=None if retention_days is None else timedelta(days=retention_days),
            dry_run=dry_run,
        )
        done = list(dataset_maintenance.maintain(store.area, store.lake, names, options, progress))
        report = Upkeep(store.area.shard, dry_run, done)
    print_verdict(report, _print, as_json=as_json)


def _print(report: Upkeep) -> None:
    if report.datasets:
        rows = [_row(dataset) for dataset in report.datasets]
        print_table(_COLUMNS, rows, numbers=_NUMBERS, spare=("log", "freed", "rewritten"))
    for dataset in report.datasets:
        _print_notes(dataset, dry_run=report.dry_run)
    if report.dry_run:
        print_line("nothing was changed: this is what would be done")
    elif not report.ok:
        print_line("some steps failed; all others are complete", "red")


def _row(dataset: DatasetUpkeep) -> tuple[str, ...]:
    return (
        dataset.dataset,
        f"{dataset.files_before:,}",
        f"{dataset.files_after:,}",
        f"{dataset.compacted_rows:,}",
        size(dataset.compacted_bytes),
        f"{len(dataset.deleted):,}",
        size(dataset.deleted_bytes),
        f"{dataset.log_commits:,}",
        count(len(dataset.errors), "problem") if dataset.errors else "ok" if dataset.has_table else "never published",
    )


def _print_notes(dataset: DatasetUpkeep, *, dry_run: bool) -> None:
    for path in dataset.deleted[:_MOST_LISTED] if dry_run else ():
        print_line(f"{dataset.dataset}: would delete {path}")
    if dry_run and len(dataset.deleted) > _MOST_LISTED:
        print_line(f"{dataset.dataset}: and {len(dataset.deleted) - _MOST_LISTED:,} more")
    if dataset.gave_way:
        groups = count(dataset.gave_way, "group")
        print_note(f"{dataset.dataset}: {groups} not compacted, because another process changed the same files")
    if dataset.foreign_files:
        print_note(f"{dataset.dataset}: {count(dataset.foreign_files, 'file')} of other programs ignored")
    if dataset.log_waits_for:
        shards = ", ".join(dataset.log_waits_for)
        print_note(f"{dataset.dataset}: the old log stays until `timestore maintain` has run on {shards}, too")
    for error in dataset.errors:
        print_line(f"{dataset.dataset}: {error} [{error.code}]", "red")
        if error.hint:
            print_line(f"  hint: {error.hint}")
