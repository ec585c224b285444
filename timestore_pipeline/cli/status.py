"""`timestore status`: what is staged, and whether it is due."""

from __future__ import annotations

from timestore_pipeline.cli.arguments import OneOrAll
from timestore_pipeline.cli.output import AsJson, print_json, print_line, print_note, print_table
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import count, duration, size
from timestore_pipeline.doors.documents import status_document
from timestore_pipeline.flush.dataset_status import DatasetStatus
from timestore_pipeline.model.batch import Volume
from timestore_pipeline.system import clock

_COLUMNS = ("dataset", "pending", "in flight", "quarantined", "oldest", "on disk", "due", "reason")
_NUMBERS = ("pending", "in flight", "quarantined", "oldest", "on disk")


def status(
    dataset: OneOrAll = None,
    as_json: AsJson = False,
) -> None:
    """Show what is staged, and whether it is due.

    \b
    Example:
      timestore status --json
    """
    with open_store() as store:
        statuses = store.statuses() if dataset is None else [store.status(dataset)]
        shard = store.area.shard
        misfit = store.area.directory.volume().misfit(store.settings.staging_max_total_bytes)
    if as_json:
        print_json(status_document(shard, statuses))
    elif statuses:
        print_table(_COLUMNS, [_row(status) for status in statuses], numbers=_NUMBERS, spare=("on disk", "quarantined"))
        for backlog in (status.backlog for status in statuses):
            if backlog.quarantined.batches:
                amount = count(backlog.quarantined.batches, "batch")
                hint = f"`timestore quarantine list {backlog.dataset}` says why"
                print_note(f"{backlog.dataset}: {amount} set aside; {hint}", "yellow")
    else:
        print_line("no datasets yet")
    if misfit:
        print_note(f"{misfit}: producers refuse to start", "bold red")


def _row(status: DatasetStatus) -> tuple[str, ...]:
    backlog = status.backlog
    amounts = [_rows(volume) for volume in (backlog.pending, backlog.in_flight, backlog.quarantined)]
    age = duration(backlog.oldest_age(clock.now())) if backlog.queued.batches else "-"
    due = "yes" if status.decision.due else "paused" if backlog.paused else "no"
    return (backlog.dataset, *amounts, age, size(backlog.disk_bytes), due, status.decision.reason)


def _rows(volume: Volume) -> str:
    return count(volume.rows, "row") if volume.batches else "-"
