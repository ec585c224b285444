"""`timestore recover`: settle what dead processes left behind."""

from __future__ import annotations

from typing import Any

import typer

from timestore_pipeline.cli.output import (
    FAILED,
    AsJson,
    error_document,
    print_error,
    print_json,
    print_line,
    print_note,
)
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import count
from timestore_pipeline.flush.recovery import Recovery
from timestore_pipeline.flush.recovery import recover as recover_area


def recover(as_json: AsJson = False) -> None:
    """Settle what dead processes left behind.

    Interrupted flushes end as published or aborted, dead writers' segments are taken over, leftovers are removed.
    Flushes do all of this as they go; this does it now. Safe beside running producers and flushes.

    \b
    Example:
      timestore recover
    """
    with open_store() as store:
        recovery = recover_area(store.area, store.lake)
    if as_json:
        print_json(_document(recovery))
    else:
        _print(recovery)
    if recovery.errors or recovery.refused:
        raise typer.Exit(FAILED)


def _document(recovery: Recovery) -> dict[str, Any]:
    return {
        "settled": [{"dataset": s.ref.dataset, "epoch": s.ref.epoch, "state": s.state} for s in recovery.settled],
        "taken_over": list(recovery.taken_over),
        "refused": [{"segment_id": left.segment_id, "reason": left.reason} for left in recovery.refused],
        "drained_segments": recovery.drained,
        "forgotten_processes": recovery.forgotten,
        "spool_removed": list(recovery.spool_removed),
        "errors": [error_document(error) for error in recovery.errors],
    }


def _print(recovery: Recovery) -> None:
    for settlement in recovery.settled:
        print_line(f"{settlement.ref.dataset}: flush {settlement.ref.epoch} was interrupted, now {settlement.state}")
    for segment_id in recovery.taken_over:
        print_line(f"segment {segment_id}: taken over from a dead writer")
    segments = count(recovery.drained, "drained segment")
    leftovers = count(len(recovery.spool_removed), "spool leftover")
    print_line(f"{segments} and {leftovers} removed, {count(recovery.forgotten, 'dead process')} forgotten")
    for left in recovery.refused:
        print_note(f"segment {left.segment_id} cannot be taken over: {left.reason}", "red")
    for error in recovery.errors:
        print_error(error, as_json=False)
