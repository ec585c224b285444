"""`timestore flush`, `drain`, `pause`, `resume` and `flushes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from timestore_pipeline.cli.arguments import Dataset, Datasets, OneOrAll, SomeOrAll
from timestore_pipeline.cli.output import (
    FAILED,
    AsJson,
    print_error,
    print_json,
    print_line,
    print_note,
    print_table,
)
from timestore_pipeline.cli.session import open_store, run_id, sensor_lateness
from timestore_pipeline.cli.wording import COLUMNS, NUMBERS, count, flush_document, flush_row
from timestore_pipeline.errors import error_document
from timestore_pipeline.model.flush import Flush
from timestore_pipeline.tools.drain import Drain, FlushAttempt, flush_all_now
from timestore_pipeline.tools.explanation import sensor_ticked_at
from timestore_pipeline.wiring import FlushRequestResult, Timestore


def flush(
    datasets: Datasets = None,
    all_datasets: Annotated[bool, typer.Option("--all", help="Every dataset.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Flush in this process instead of asking the sensor.")] = False,
    as_json: AsJson = False,
) -> None:
    """Request a flush, or flush here with --now.

    The sensor picks a request up at its next tick; --now needs no Dagster. Nothing staged is success. A paused
    dataset is flushed too: an operator's request goes first.

    \b
    Example:
      timestore flush weather --now
    """
    if bool(datasets) == all_datasets:
        raise typer.BadParameter("name at least one dataset, or give --all, not both")
    with open_store() as store:
        known = store.area.ledger.datasets
        names = [known.get(name).name for name in datasets or known.names(active=True)]
        if now:
            _report([done for name in names for done in flush_all_now(store, name, run_id())], as_json=as_json)
        else:
            _request(store, names, as_json=as_json)


def drain(
    datasets: SomeOrAll = None,
    timeout: Annotated[float, typer.Option(min=0, metavar="S", help="Seconds; then it fails.")] = 300.0,
    as_json: AsJson = False,
) -> None:
    """Flush until nothing is pending or in flight.

    Works in this process, waits for flushes of others, and flushes again what comes in meanwhile. Default: every
    dataset. It ends early once all that is left cannot be published as things are, with what is in the way. Exit
    code 1 then, and also when batches are in quarantine: those are not published.

    \b
    Example:
      timestore drain weather --timeout 60
    """
    with open_store() as store:
        names = [store.area.ledger.datasets.get(name).name for name in datasets or ()]
        draining = Drain(store, names, run_id())
        draining.run(timeout)
        quarantined = draining.quarantined()
    if as_json:
        flushed = [flush_document(flush) for flush in draining.flushed]
        print_json({"drained": True, "quarantined_batches": quarantined, "flushes": flushed})
    else:
        _print_flushes(draining.flushed)
        print_line("nothing is pending or in flight")
    if quarantined:
        amount = count(quarantined, "batch")
        print_note(f"in quarantine and not published: {amount}; see `timestore quarantine list`", "red")
        raise typer.Exit(FAILED)


def pause(dataset: Dataset, as_json: AsJson = False) -> None:
    """Stop automatic flushes of a dataset.

    Staging continues, and manual flushes still work.

    \b
    Example:
      timestore pause weather
    """
    _set_paused(dataset, paused=True, as_json=as_json)


def resume(dataset: Dataset, as_json: AsJson = False) -> None:
    """Let the sensor flush a dataset again.

    \b
    Example:
      timestore resume weather
    """
    _set_paused(dataset, paused=False, as_json=as_json)


def flushes(
    dataset: OneOrAll = None,
    most: Annotated[int, typer.Option("--most", min=1, max=1_000_000, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the history of flushes.

    \b
    Example:
      timestore flushes weather --most 5
    """
    with open_store() as store:
        if dataset is not None:
            store.area.ledger.datasets.get(dataset)
        found = store.area.ledger.flushes.history(dataset, most)
    if as_json:
        print_json({"flushes": [flush_document(flush) for flush in found]})
    elif found:
        _print_flushes(found)
    else:
        print_line("no flushes yet")


def _set_paused(dataset: str, *, paused: bool, as_json: bool) -> None:
    with open_store() as store:
        store.area.ledger.datasets.set_paused(dataset, paused)
    if as_json:
        print_json({"dataset": dataset, "paused": paused})
    else:
        print_line(f"{dataset}: {'paused' if paused else 'resumed'}")


def _request(store: Timestore, names: Sequence[str], *, as_json: bool) -> None:
    outcomes = {name: store.request_flush(name) for name in names}
    requested, in_flight, nothing = (
        [name for name in names if outcomes[name] is outcome] for outcome in FlushRequestResult
    )
    late = sensor_lateness(sensor_ticked_at(store)) if requested else None
    if as_json:
        answer = {"requested": requested, "in_flight": in_flight, "nothing_staged": nothing}
        print_json({**answer, "sensor_late": late is not None})
        return
    _print_each(requested, "a flush is requested")
    _print_each(in_flight, "everything staged is in flight already")
    _print_each(nothing, "nothing is staged")
    if late is not None:
        print_note(f"{late}: start Dagster, or flush here with --now", "yellow")


def _print_each(names: Sequence[str], answer: str) -> None:
    for name in names:
        print_line(f"{name}: {answer}")


def _report(attempts: Sequence[FlushAttempt], *, as_json: bool) -> None:
    """The error of a single dataset is the command's error; for several, successful flushes are reported first."""
    if len(attempts) == 1 and attempts[0].error is not None:
        raise attempts[0].error
    done = [attempt.flush for attempt in attempts if attempt.flush is not None]
    if as_json:
        print_json(_document(attempts))
    else:
        _print_flushes(done)
        for attempt in attempts:
            _print_rest(attempt)
    if any(attempt.failed for attempt in attempts):
        raise typer.Exit(FAILED)


def _document(attempts: Sequence[FlushAttempt]) -> dict[str, object]:
    return {
        "flushes": [flush_document(attempt.flush) for attempt in attempts if attempt.flush is not None],
        "nothing_staged": [attempt.dataset for attempt in attempts if attempt.found_nothing],
        "left_out": [
            {"dataset": a.dataset, "journal_id": u.journal_id, "reason": u.reason} for a in attempts for u in a.left_out
        ],
        "errors": [error_document(attempt.error) for attempt in attempts if attempt.error is not None],
    }


def _print_rest(attempt: FlushAttempt) -> None:
    if attempt.found_nothing:
        print_line(f"{attempt.dataset}: nothing is staged")
    for left in attempt.left_out:
        print_note(f"{attempt.dataset}: journal {left.journal_id} is left out: {left.reason}", "yellow")
    if attempt.error is not None:
        print_error(attempt.error, as_json=False)


def _print_flushes(flushes: Sequence[Flush]) -> None:
    if flushes:
        rows = [flush_row(flush) for flush in flushes]
        print_table(COLUMNS, rows, numbers=NUMBERS, spare=("run", "claimed", "trigger"))
