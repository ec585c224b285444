"""`timestore quarantine`: shows quarantined batches, and requeues or discards them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from timestore_pipeline.cli.arguments import OneOrAll
from timestore_pipeline.cli.command_list import CommandList
from timestore_pipeline.cli.output import (
    FAILED,
    AsJson,
    print_error,
    print_fields,
    print_json,
    print_line,
    print_table,
    reporting,
)
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import count, incident_document, instant, iso, kind_of_file, size
from timestore_pipeline.errors import TimestoreError, error_document
from timestore_pipeline.model.batch import Incident, IncidentBatch
from timestore_pipeline.staging import quarantine
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.wiring import Timestore

Incidents = Annotated[list[int], typer.Argument(metavar="ID", help="As `timestore quarantine list` numbers them.")]

_COLUMNS = ("id", "dataset", "reason", "batches", "rows", "since", "state", "error")
_NUMBERS = ("id", "batches", "rows")
_BATCH_COLUMNS = ("batch", "rows", "bytes", "staged", "key", "state")
_SHOWN = 60  # characters of an error in a table


def list_incidents(
    dataset: OneOrAll = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were decided on.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what was set aside and waits for a decision.

    \b
    Examples:
      timestore quarantine list
      timestore quarantine list weather --all --json
    """
    with open_store() as store:
        if dataset is not None:
            store.area.ledger.datasets.get(dataset)
        incidents = store.area.ledger.incidents.all(dataset, resolved=everything)
    if as_json:
        print_json({"incidents": [incident_document(incident) for incident in incidents]})
    elif incidents:
        print_table(_COLUMNS, [_row(incident) for incident in incidents], numbers=_NUMBERS, spare=("since",))
    else:
        print_line("nothing is quarantined")


def show(
    incident_id: Annotated[int, typer.Argument(metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """Show one incident: what happened, which batches, where the file is.

    \b
    Example:
      timestore quarantine show 3
    """
    with open_store() as store:
        incident = store.area.ledger.incidents.get(incident_id)
        batches = store.area.ledger.incidents.batches(incident_id)
        file = quarantine.quarantined_file(store.area, incident)
    path = None if file is None else str(file)
    if as_json:
        listed = [_batch_document(one) for one in batches]
        print_json({**incident_document(incident), "file": path, "batch_list": listed})
        return
    print_fields(_fields(incident, path))
    print_table(
        _BATCH_COLUMNS, [_batch_row(one) for one in batches], numbers=("rows", "bytes"), spare=("staged", "key")
    )


def requeue(incident_ids: Incidents, as_json: AsJson = False) -> None:
    """Put batches back into the queue.

    A batch that no flush could export is tried again, as if it had never failed. What a damaged segment or journal has
    lost is taken back once the file holds every batch as it was acknowledged: repair it where it lies, or put a copy
    from a backup there.

    \b
    Example:
      timestore quarantine requeue 3
    """
    with open_store() as store:
        _decide(store, incident_ids, quarantine.requeue, "requeued", as_json=as_json)


def discard(
    incident_ids: Incidents,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give batches up for good, and free their space.

    The only command that deletes rows which were acknowledged and not published. They stay in the books as discarded.

    \b
    Example:
      timestore quarantine discard 3 --yes
    """
    with open_store() as store:
        if not yes:
            _ask(store, incident_ids)
        _decide(store, incident_ids, quarantine.discard, "discarded", as_json=as_json)


app = typer.Typer(
    cls=CommandList, no_args_is_help=True, rich_markup_mode=None, help="Batches and segments that were set aside."
)
app.command("list")(reporting(list_incidents))
app.command("show")(reporting(show))
app.command("requeue")(reporting(requeue))
app.command("discard")(reporting(discard))


def _decide(
    store: Timestore,
    incident_ids: Sequence[int],
    decision: Callable[[StagingArea, int], bool],
    word: str,
    *,
    as_json: bool,
) -> None:
    """Decide each incident by itself: one that fails must not block the others.

    Raises the error of a single incident; for several, each error is reported beside the results.
    """
    results: list[dict[str, Any]] = []
    errors: list[TimestoreError] = []
    for incident_id in incident_ids:
        try:
            done = decision(store.area, incident_id)
        except TimestoreError as error:
            if len(incident_ids) == 1:
                raise
            errors.append(error)
        else:
            incident = store.area.ledger.incidents.get(incident_id)
            results.append({**incident_document(incident), "changed": done})
    _report(results, errors, word, as_json=as_json)
    if errors:
        raise typer.Exit(FAILED)


def _report(results: list[dict[str, Any]], errors: list[TimestoreError], word: str, *, as_json: bool) -> None:
    if as_json:
        print_json({word: results, "errors": [error_document(error) for error in errors]})
        return
    for result in results:
        amount = f"{count(result['batches'], 'batch')} of {count(result['rows'], 'row')}"
        was = "" if result["changed"] else " already"
        print_line(f"{result['dataset']}: incident {result['incident_id']}: {amount} {word}{was}")
    for error in errors:
        print_error(error, as_json=False)


def _ask(store: Timestore, incident_ids: Sequence[int]) -> None:
    """On a terminal only: a script has to say `--yes`."""
    incidents = [store.area.ledger.incidents.get(incident_id) for incident_id in incident_ids]
    if not sys.stdin.isatty():
        raise typer.BadParameter("discarding deletes acknowledged rows: give --yes")
    rows = sum(incident.volume.rows for incident in incidents)
    typer.confirm(f"Delete {count(rows, 'acknowledged row')} for good?", abort=True, err=True)


def _row(incident: Incident) -> tuple[str, ...]:
    error = " ".join(incident.error.split())
    return (
        str(incident.incident_id),
        incident.dataset,
        incident.reason,
        f"{incident.volume.batches:,}",
        f"{incident.volume.rows:,}",
        instant(incident.opened_at),
        incident.resolution or "open",
        error if len(error) <= _SHOWN else error[: _SHOWN - 1] + "…",
    )


def _fields(incident: Incident, path: str | None) -> list[tuple[str, str]]:
    resolved = f"{incident.resolution} at {instant(incident.resolved_at)}" if incident.resolution else "open"
    return [
        ("incident", f"{incident.incident_id}, {incident.kind}, {incident.reason}"),
        ("dataset", incident.dataset),
        ("since", instant(incident.opened_at)),
        ("state", resolved),
        ("amount", f"{count(incident.volume.batches, 'batch')}, {count(incident.volume.rows, 'row')}"),
        (kind_of_file(incident), incident.segment_id),
        ("file", path or "-"),
        ("error", " ".join(incident.error.split())),
    ]


def _batch_row(one: IncidentBatch) -> tuple[str, ...]:
    batch = one.batch
    key = batch.idempotency_key or "-"
    return batch.batch_id, f"{batch.rows:,}", size(batch.bytes), instant(batch.staged_at), key, one.state


def _batch_document(one: IncidentBatch) -> dict[str, Any]:
    return {
        "batch_id": one.batch.batch_id,
        "segment_id": one.segment_id,
        "sequence": one.batch.sequence,
        "rows": one.batch.rows,
        "bytes": one.batch.bytes,
        "staged_at": iso(one.batch.staged_at),
        "idempotency_key": one.batch.idempotency_key,
        "state": one.state,
        "attempts": one.attempts,
    }
