"""`timestore legacy`: finds Parquet files that other programs wrote into the lake, and imports their rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from pyarrow import fs

from timestore_pipeline.cli.arguments import Dataset, dataset_names
from timestore_pipeline.cli.command_list import CommandList
from timestore_pipeline.cli.ingest import ctrl_c_stops
from timestore_pipeline.cli.output import (
    FAILED,
    AsJson,
    print_error,
    print_json,
    print_line,
    print_note,
    print_table,
    progress_bar,
    reporting,
)
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import count, instant, size
from timestore_pipeline.doors.legacy.importing import Import, Imported, ImportJournal, ImportResult
from timestore_pipeline.doors.legacy.tree import LegacyTree
from timestore_pipeline.errors import NotImportable, TimestoreError, error_document
from timestore_pipeline.ingest.whole_file import open_staging
from timestore_pipeline.lake.store import Location
from timestore_pipeline.model.dataset import check_dataset_name, chosen_datasets
from timestore_pipeline.recovery.shard_audit import datasets_to_audit, direct_files
from timestore_pipeline.settings import storage_options
from timestore_pipeline.wiring import Timestore

Found = dict[str, list[fs.FileInfo]]  # dataset -> files, by path

_COLUMNS = ("dataset", "files", "bytes", "oldest", "newest")
_MOST_LISTED = 20  # files of one dataset


def audit(
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="DATASET", autocompletion=dataset_names, help="Default: every folder of the lake."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find Parquet files in the lake that no Delta commit and no flush knows.

    No reader of the tables sees them. The newest date shows whether a program, such as a forgotten cron job, still
    writes them. Leftovers of flushes are not counted: `timestore verify --repair` deletes those. Exit code 1 when a
    file was found.

    \b
    Example:
      timestore legacy audit weather
    """
    with open_store() as store:
        found = {
            name: direct_files(store.area, store.lake, name)
            for name in chosen_datasets(
                [dataset] if dataset else [], [*datasets_to_audit(store.area, store.lake), *store.lake.folders()]
            )
        }
    found = {name: files for name, files in found.items() if files}
    if as_json:
        print_json({"ok": not found, "datasets": [_document(name, files) for name, files in found.items()]})
    else:
        _print(found)
    if found:
        raise typer.Exit(FAILED)


def import_files(
    dataset: Dataset,
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH", help="A Parquet file or a tree of them: a path or s3://…; default: what audit finds."
        ),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete each file once all its rows are durable, also if they were before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Stage existing Parquet files, each content once; they stay where they are.

    Columns that are in folder names only (station=JFK) become columns of the rows. Run the same command again after it
    was stopped or killed: imported files are skipped, even years later. Without PATH, the command imports the files
    that `timestore legacy audit` lists for the dataset. Exit code 1 when a file could not be read; the others are
    imported.

    \b
    Examples:
      timestore legacy import weather /archive/weather
      timestore legacy import weather --delete
    """
    check_dataset_name(dataset)
    with open_store() as store:
        tree = _strays(store, dataset) if path is None else _tree(store, path)
        journal = ImportJournal(store.area.directory.root, dataset)
        with open_staging(store.settings) as staging:
            work = Import(staging, dataset, tree, journal, store.area.directory.spool, delete)
            with ctrl_c_stops(work):
                done, stopped = _all(work, quiet=as_json)
    _report(dataset, done, stopped, as_json=as_json)
    if stopped is not None or any(one.result is ImportResult.FAILED for one in done):
        raise typer.Exit(FAILED)


app = typer.Typer(
    cls=CommandList, no_args_is_help=True, rich_markup_mode=None, help="Parquet files that were not written by a flush."
)
app.command("audit")(reporting(audit))
app.command("import")(reporting(import_files))


def _strays(store: Timestore, dataset: str) -> LegacyTree:
    found = direct_files(store.area, store.lake, dataset)
    if not found:
        text = f"every Parquet file in the folder of {dataset!r} is known"
        raise NotImportable(text, dataset=dataset, hint="name a PATH to import files from elsewhere")
    return LegacyTree.of(Location.parse(store.lake.table(dataset).uri, storage_options()), found)


def _tree(store: Timestore, path: str) -> LegacyTree:
    """Raise for a path in the lake or the staging area: their rows are known already."""
    options = storage_options()
    wanted = Location.parse(path, options)
    for uri in (store.lake.uri, str(store.area.directory.root)):
        ours = Location.parse(uri, options)
        same = (wanted.filesystem is None) is (ours.filesystem is None)
        if same and (_inside(_real(wanted), _real(ours)) or _inside(_real(ours), _real(wanted))):
            hint = "leave PATH out: then only files are taken that no commit names"
            raise NotImportable(f"{path} and {uri} overlap", hint=hint)
    return LegacyTree.at(path, options)


def _inside(one: str, other: str) -> bool:
    return f"{one.rstrip('/')}/".startswith(f"{other.rstrip('/')}/")


def _real(location: Location) -> str:
    """Its path, with links and dots resolved."""
    return os.path.realpath(location.path) if location.filesystem is None else location.path


def _all(work: Import, *, quiet: bool) -> tuple[list[Imported], TimestoreError | None]:
    done: list[Imported] = []
    try:
        with progress_bar("files", len(work.tree.files), hidden=quiet) as update:
            for one in work.run():
                done.append(one)  # files before an error count
                update(advance=1)
    except TimestoreError as stopped:
        return done, stopped
    return done, None


def _report(dataset: str, done: Sequence[Imported], stopped: TimestoreError | None, *, as_json: bool) -> None:
    totals = {result.value: sum(one.result is result for one in done) for result in ImportResult}
    rows, again = sum(one.tally.rows for one in done), sum(one.tally.duplicate_rows for one in done)
    if as_json:
        error = error_document(stopped)
        files = [one.to_dict() for one in done]
        print_json(
            {"dataset": dataset, **totals, "rows": rows, "duplicate_rows": again, "files": files, "error": error}
        )
        return
    for one in done:
        if one.error is not None:
            print_error(one.error, as_json=False)
    skipped = f", {count(totals['skipped'], 'file')} imported before" if totals["skipped"] else ""
    resumed = f", {count(again, 'row')} of them before" if again else ""
    failed = f", {count(totals['failed'], 'file')} failed" if totals["failed"] else ""
    print_line(
        f"{dataset}: {count(rows + again, 'row')} of {count(totals['imported'], 'file')}{resumed}{skipped}{failed}"
    )
    if stopped is not None:
        print_error(stopped, as_json=False)
        print_note("to continue, run the same command again: durable batches are skipped")


def _document(dataset: str, files: Sequence[fs.FileInfo]) -> dict[str, Any]:
    listed = [
        {"path": file.path, "bytes": file.size, "modified_at": None if file.mtime is None else file.mtime.isoformat()}
        for file in files
    ]
    return {"dataset": dataset, "bytes": sum(file.size for file in files), "files": listed}


def _print(found: Found) -> None:
    if not found:
        print_line("every Parquet file in the lake is known", "green")
        return
    print_table(_COLUMNS, [_row(name, files) for name, files in found.items()], numbers=_COLUMNS[1:3])
    for name, files in found.items():
        for file in files[:_MOST_LISTED]:
            print_line(f"{name}/{file.path}  {size(file.size)}  {instant(file.mtime)}")
        if len(files) > _MOST_LISTED:
            print_line(f"{name}: and {len(files) - _MOST_LISTED} more; --json has all")
    print_note("stop the program that writes them; `timestore legacy import DATASET` imports their rows", "yellow")


def _row(name: str, files: Sequence[fs.FileInfo]) -> tuple[str, ...]:
    dates: list[datetime] = [file.mtime for file in files if file.mtime is not None]
    total = size(sum(file.size for file in files))
    return (name, f"{len(files):,}", total, instant(min(dates, default=None)), instant(max(dates, default=None)))
