"""`timestore advise`: thresholds for a wanted file size and freshness."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from timestore_pipeline.cli.arguments import YEAR, Dataset
from timestore_pipeline.cli.output import AsJson, print_fields, print_json, print_line, print_note, print_table
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import count, duration, limit, size
from timestore_pipeline.model.thresholds import FlushThresholds
from timestore_pipeline.staging.ledger.batch_history import arrivals
from timestore_pipeline.tools.threshold_advice import REACTION, History, Outlook, Proposal, Wish, propose

_MOST_BATCHES = 200_000
_MOST_FLUSHES = 10_000


def advise(
    dataset: Dataset,
    target_file_mb: Annotated[
        float, typer.Option(min=0.001, max=1e6, metavar="MB", help="Size of a Parquet file.")
    ] = 64,
    freshness_s: Annotated[
        float, typer.Option(min=0, max=YEAR, metavar="S", help="From a row's receipt until it can be read, at most.")
    ] = 120,
    reaction_s: Annotated[
        float,
        typer.Option(min=0, max=YEAR, metavar="S", help="From being due to the flush: a tick and the start of a run."),
    ] = REACTION,
    as_json: AsJson = False,
) -> None:
    """Propose flush thresholds by the dataset's own history.

    Replays how its batches arrived under the thresholds in force and under the proposed ones, with what its flushes
    made of them, and prints the command that applies the proposal. Freshness goes before file size; where the two
    contradict each other, says so with numbers. Changes nothing. Exit code 1 when the history is too short.

    \b
    Example:
      timestore advise weather --target-file-mb 128 --freshness-s 300
    """
    with open_store() as store:
        wish = Wish(target_file_mb * 1e6, freshness_s, reaction_s, store.settings.staging_max_dataset_bytes)
        ledger = store.area.ledger
        came = arrivals(ledger.database, dataset, _MOST_BATCHES)
        history = History.of(dataset, came, ledger.flushes.history(dataset, _MOST_FLUSHES))
        proposal = propose(history, wish, store.flush_settings(dataset).thresholds)
    if as_json:
        print_json(proposal.to_dict())
    else:
        _print(proposal)


def _print(proposal: Proposal) -> None:
    history = proposal.history
    print_fields(
        [
            ("history", f"{count(len(history.arrivals), 'batch')} in {duration(timedelta(seconds=history.seconds))}"),
            ("arrives", f"{size(history.bytes_per_second * 60)} a minute, {history.bytes_per_row:.0f} bytes a row"),
            ("flushes", f"{len(history.flushes)}, 95 of 100 within {history.flush_seconds:.1f} s"),
            ("files", f"{history.files_per_flush:.1f} a flush, {size(history.file_bytes)} each"),
            ("Parquet", f"{history.shrinkage:.2f} bytes for a staged byte"),
        ]
    )
    print_line("")
    columns = ("", "in force", "proposed")
    now, then = (
        _column(proposal.in_force, proposal.now), _column(proposal.proposed, proposal.then),
    )  # fmt: skip
    print_table(columns, [(name, now[name], then[name]) for name in now], numbers=columns[1:])
    print_line("")
    for conflict in proposal.conflicts:
        print_note(f"conflict: {conflict}", "yellow")
    print_line(proposal.command, "bold")


def _column(thresholds: FlushThresholds, seen: Outlook) -> dict[str, str]:
    age = duration(thresholds.max_age) if thresholds.max_age else "off"
    return {
        "max rows": limit(thresholds.max_rows),
        "max bytes": limit(thresholds.max_bytes),
        "max age": age,
        "flushes": f"{seen.flushes:,}",
        "file size": "-" if seen.file_bytes is None else size(seen.file_bytes),
        "readable after": "-" if seen.age_seconds is None else f"{seen.age_seconds:.0f} s",
    }
