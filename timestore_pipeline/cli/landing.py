"""`timestore landing`: commands for the landing folder, with or without Dagster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer

from timestore_pipeline.cli.arguments import Dataset, OneOrAll, SomeOrAll
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
    reporting,
)
from timestore_pipeline.cli.session import open_store, run_id
from timestore_pipeline.cli.wording import count, size
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.doors.landing.intake import Intake
from timestore_pipeline.doors.landing.landing_file import Ignored
from timestore_pipeline.doors.landing.replay import Day, Replay, Replayed
from timestore_pipeline.doors.landing.reports import Amount, FileOutcome, LandingStatus, Result, landing_status
from timestore_pipeline.errors import Interrupted, RetryLater, TimestoreError, error_document
from timestore_pipeline.ingest.whole_file import open_staging
from timestore_pipeline.model.dataset import check_dataset_name
from timestore_pipeline.settings import Settings
from timestore_pipeline.tools.drain import flush_all_now
from timestore_pipeline.wiring import Timestore

_T = TypeVar("_T")

_COLUMNS = ("dataset", "ready", "waiting", "archived", "rejected")
_MOST_LISTED = 20  # rejected files, and ignored names
_COLOURS = {Result.REJECTED: "red", Result.POSTPONED: "yellow"}


def status(dataset: OneOrAll = None, as_json: AsJson = False) -> None:
    """Show which files wait, which were taken, and which were rejected and why.

    A file waits when it was written a moment ago, or was postponed for half a minute. Exit code 1 when a folder cannot
    be read; the others are shown.

    \b
    Example:
      timestore landing status
    """
    folder = LandingFolder.of(Settings.from_env())
    if dataset is not None:
        check_dataset_name(dataset)
    statuses, strangers = landing_status(folder, dataset), folder.strangers()
    if as_json:
        found = [one.to_dict() for one in statuses]
        print_json({"landing": str(folder.root), "datasets": found, **_strangers(strangers)})
    else:
        _print_status(folder, statuses)
        _print_ignored([*strangers, *(ignored for one in statuses for ignored in one.ignored)])
    if any(one.error is not None for one in statuses):
        raise typer.Exit(FAILED)


def ingest(datasets: SomeOrAll = None, as_json: AsJson = False) -> None:
    """Stage the files that are complete, then archive them.

    Every file is staged completely and once, because its batches are keyed by its content: run the command again after
    it was killed; a file that is dropped twice is skipped. An unreadable file is moved to _rejected, with a reason
    beside it; one for which there is no room stays and is tried again. Exit code 1 when there was such a file.

    \b
    Examples:
      timestore landing ingest
      timestore landing ingest weather --json
    """
    settings = Settings.from_env()
    folder = LandingFolder.of(settings)
    chosen = [check_dataset_name(name) for name in datasets] if datasets else folder.datasets()
    with open_staging(settings) as staging:
        intake = Intake(folder, staging)
        with ctrl_c_stops(intake):
            outcomes, stopped = _until(Interrupted, intake.run(chosen), None if as_json else _print_outcome)
    strangers = [] if datasets else folder.strangers()
    if as_json:
        files = [outcome.to_dict() for outcome in outcomes]
        print_json({"files": files, **_strangers(strangers), "error": error_document(stopped)})
    else:
        if not outcomes:
            print_line("no file is ready; `timestore landing status` shows which wait")
        if stopped is not None:
            print_note(f"{stopped}: {stopped.hint}", "yellow")
        _print_ignored(strangers)
    if stopped is not None or not all(outcome.done for outcome in outcomes):
        raise typer.Exit(FAILED)


def replay(
    dataset: Dataset,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only rows of this day (UTC); default: all rows.")
    ] = None,
    files: Annotated[str, typer.Option(help="Only files of the archive that match, such as '2013-01-*'.")] = "*",
    beside: Annotated[bool, typer.Option("--beside", help="Also if the lake has rows of that time.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stage archived files again, to restore rows that were deleted from the lake.

    First everything that is staged is flushed, in this process. If the lake then still has rows of that day, or without
    --day any rows, nothing is done: a replay would double them. Run the same command again after it was stopped or
    killed.

    \b
    Examples:
      timestore landing replay weather --day 2013-01-05
      timestore landing replay weather --files '2013-01-0*' --beside
    """
    check_dataset_name(dataset)
    with open_store() as store:
        wanted = None if day is None else Day.of(store.area.ledger.datasets.get(dataset), day.date())
        work = Replay(LandingFolder.of(store.settings), dataset, wanted, files)

        with work.alone():
            plan = work.begin(lambda: 0 if beside else _rows_in_lake(store, dataset, wanted))
            with open_staging(store.settings) as staging, ctrl_c_stops(work):
                done, stopped = _until(TimestoreError, work.run(plan, staging))
    _report_replay(dataset, done, stopped, as_json=as_json)
    if stopped is not None or any(one.error is not None for one in done):
        raise typer.Exit(FAILED)


app = typer.Typer(
    cls=CommandList, no_args_is_help=True, rich_markup_mode=None, help="The folder where files are dropped."
)
app.command("status")(reporting(status))
app.command("ingest")(reporting(ingest))
app.command("replay")(reporting(replay))


def _rows_in_lake(store: Timestore, dataset: str, day: Day | None) -> int:
    """Flush everything that is staged, then count the rows of that day in the table.

    Raises if anything stays staged: its rows would be missing in the count.
    """
    known = store.area.ledger.datasets.find(dataset) is not None
    for attempt in flush_all_now(store, dataset, run_id()) if known else ():
        if attempt.error is not None:
            raise attempt.error
        for left in attempt.left_out:
            hint = "its rows are not in the lake yet and cannot be counted; try again"
            raise RetryLater(f"journal {left.journal_id}: {left.reason}", dataset=dataset, hint=hint)
    table = store.lake.table(dataset)
    if not table.exists():
        return 0
    return int(table.to_arrow_dataset().count_rows(filter=None if day is None else day.expression()))


def _until(
    stop: type[TimestoreError], items: Iterator[_T], show: Callable[[_T], None] | None = None
) -> tuple[list[_T], TimestoreError | None]:
    """All items, each shown at once, and the error of this kind that ended the run early: items before it count."""
    seen: list[_T] = []
    try:
        for item in items:
            seen.append(item)
            if show is not None:
                show(item)
    except stop as stopped:
        return seen, stopped
    return seen, None


def _report_replay(dataset: str, done: Sequence[Replayed], stopped: TimestoreError | None, *, as_json: bool) -> None:
    rows = sum(one.tally.rows + one.tally.duplicate_rows for one in done)
    if as_json:
        files = [one.to_dict() for one in done]
        print_json({"dataset": dataset, "rows": rows, "files": files, "error": error_document(stopped)})
        return
    for one in done:
        if one.error is not None:
            print_error(one.error, as_json=False)
    print_line(f"{dataset}: {count(rows, 'row')} of {count(len(done), 'archived file')} staged again")
    if stopped is not None:
        print_error(stopped, as_json=False)
        print_note("to continue, run the same command again: durable batches are skipped")


def _print_outcome(outcome: FileOutcome) -> None:
    file = f"{outcome.dataset}/{outcome.file}"
    print_line(f"{outcome.result.value:9} {file}: {_amounts(outcome)}", _COLOURS.get(outcome.result, ""))
    if outcome.error is not None:
        print_line(f"          {outcome.error} [{outcome.error.code}]")
        if outcome.error.hint:
            print_line(f"          hint: {outcome.error.hint}")
    for line in outcome.decided.lines():
        print_line(f"          {line}")


def _amounts(outcome: FileOutcome) -> str:
    tally = outcome.tally
    fresh = f"{count(tally.rows, 'row')} in {count(tally.batches, 'batch')}"
    if outcome.result is Result.DUPLICATE:
        return f"{size(outcome.bytes)}, taken before"
    again = f", {count(tally.duplicate_rows, 'row')} taken before" if tally.duplicates else ""
    return f"{size(outcome.bytes)}, {fresh}{again}"


def _print_status(folder: LandingFolder, statuses: Sequence[LandingStatus]) -> None:
    if statuses:
        print_table(_COLUMNS, [_row(one) for one in statuses], numbers=_COLUMNS[1:])
    else:
        print_line(f"nothing was ever dropped in {folder.root}")
    for one in statuses:
        if one.error is not None:
            print_error(one.error, as_json=False)
    reasons: list[dict[str, Any]] = [reason for one in statuses for reason in one.reasons]
    for reason in reasons[:_MOST_LISTED]:
        print_note(f"rejected: {reason['place']}: {reason['message']} [{reason['code']}]", "yellow")
        if reason["hint"]:
            print_note(f"  hint: {reason['hint']}", "yellow")
    if len(reasons) > _MOST_LISTED:
        print_note(f"and {len(reasons) - _MOST_LISTED} more; --json has all", "yellow")


def _row(one: LandingStatus) -> tuple[str, ...]:
    if one.error is not None:
        return (one.dataset, *("?" for _ in _COLUMNS[1:]))
    return (one.dataset, *(_amount(amount) for amount in (one.ready, one.waiting, one.archived, one.rejected)))


def _amount(amount: Amount) -> str:
    return f"{count(amount.files, 'file')}, {size(amount.bytes)}" if amount.files else "-"


def _strangers(strangers: Sequence[Ignored]) -> dict[str, Any]:
    return {"strangers": [one.place for one in strangers], "ignored": [asdict(one) for one in strangers]}


def _print_ignored(ignored: Sequence[Ignored]) -> None:
    for one in ignored[:_MOST_LISTED]:
        print_note(f"{one.place}: ignored, {one.reason}", "yellow")
    if len(ignored) > _MOST_LISTED:
        print_note(f"and {len(ignored) - _MOST_LISTED} more are ignored; --json has all", "yellow")
