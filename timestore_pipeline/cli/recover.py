"""`timestore recover`: settle what dead processes left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from timestore_pipeline.cli.output import (
    FAILED,
    AsJson,
    print_error,
    print_json,
    print_line,
    print_note,
)
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import count, incident_document, incident_sentence
from timestore_pipeline.errors import error_document
from timestore_pipeline.recovery.ledger_rebuild import Rebuilt
from timestore_pipeline.recovery.reconciliation import Reconciliation
from timestore_pipeline.recovery.shard_recovery import Recovery
from timestore_pipeline.recovery.shard_recovery import recover as recover_area
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import rebuild_if_lost, reconcile_restored


def recover(
    replace_shard: Annotated[
        bool, typer.Option("--replace-shard", help="The directory that published under this shard's name is gone.")
    ] = False,
    restored: Annotated[
        bool, typer.Option("--restored", help="The ledger is from a backup: read every segment for what it lacks.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Settle what dead processes left behind, and bring the ledger up to what is published.

    Interrupted flushes end as published or aborted, journals are rolled up into segments, leftovers are removed.
    Flushes do all of this as they go; this does it now. Safe beside running producers and flushes. A lost or damaged
    ledger is rebuilt first, for which every other process must be stopped. So must they for --restored, before
    anything else after ledger.sqlite was put back from a backup: without it, what was staged since into a segment that
    the backup lists is found only if the table or another segment shows that the ledger is an older one.

    \b
    Example:
      timestore recover
    """
    settings = Settings.from_env()
    rebuilt = rebuild_if_lost(settings)
    reconciliation = reconcile_restored(settings, replace_shard=replace_shard) if restored else Reconciliation()
    with open_store() as store:
        recovery = recover_area(store.area, store.lake, replace_shard=replace_shard)
        reconciliation += recovery.reconciled
        incidents = [store.area.ledger.incidents.get(identity) for identity in reconciliation.incidents]
        recovery = replace(recovery, reconciled=reconciliation, set_aside=[*incidents, *recovery.set_aside])
    if as_json:
        print_json({"rebuilt": None if rebuilt is None else _rebuilt_document(rebuilt)} | _document(recovery))
    else:
        if rebuilt is not None:
            _print_rebuilt(rebuilt)
        _print(recovery)
    if recovery.errors or recovery.left_out or recovery.set_aside or recovery.reconciled.unadopted:
        raise typer.Exit(FAILED)


def _document(recovery: Recovery) -> dict[str, Any]:
    reconciliation = recovery.reconciled
    return {
        "entered_flushes": [ref.to_dict() for ref in reconciliation.published],
        "adopted_segments": list(reconciliation.adopted),
        "adopted_journals": list(reconciliation.journals),
        "adopted_batches": reconciliation.pending,
        "unadopted": [{"path": str(left.path), "reason": left.reason} for left in reconciliation.unadopted],
        "settled": [{"dataset": s.ref.dataset, "epoch": s.ref.epoch, "state": s.state} for s in recovery.settled],
        "rolled_up": list(recovery.rolled_up),
        "left_out": [{"journal_id": left.journal_id, "reason": left.reason} for left in recovery.left_out],
        "set_aside": [incident_document(incident) for incident in recovery.set_aside],
        "drained_segments": recovery.drained,
        "forgotten_processes": recovery.forgotten,
        "spool_removed": list(recovery.spool_removed),
        "errors": [error_document(error) for error in recovery.errors],
    }


def _rebuilt_document(rebuilt: Rebuilt) -> dict[str, Any]:
    return {
        "kept": None if rebuilt.kept is None else str(rebuilt.kept),
        "salvaged": dict(rebuilt.salvaged),
        "published_flushes": len(rebuilt.reconciliation.published),
        "adopted_segments": len(rebuilt.reconciliation.adopted),
        "adopted_batches": rebuilt.reconciliation.pending,
        "incidents": list(rebuilt.reconciliation.incidents),
    }


def _print_rebuilt(rebuilt: Rebuilt) -> None:
    found = rebuilt.reconciliation
    print_line("the ledger was rebuilt from what is left of it, the segments and the Delta log", "green")
    if rebuilt.kept is not None:
        rows = ", ".join(f"{rows} {table}" for table, rows in rebuilt.salvaged.items() if rows)
        print_line(f"the damaged one is kept in {rebuilt.kept}; of it could be read: {rows or 'nothing'}")
    print_line(f"{len(found.published)} flushes entered from the log, {found.pending} batches found pending")
    for incident in found.incidents:
        print_note(
            f"a file in quarantine is incident {incident} now: see `timestore quarantine show {incident}`", "red"
        )
    if not rebuilt.salvaged.get("datasets"):
        print_note("metadata and pauses of datasets are lost: see `timestore datasets list`", "yellow")
    for left in found.unadopted:
        print_note(f"{left.path} is not adopted: {left.reason}", "red")


def _print_reconciliation(reconciliation: Reconciliation) -> None:
    for ref in reconciliation.published:
        print_line(f"{ref.dataset}: flush {ref.epoch} was published without this ledger's knowing, now entered")
    for segment_id in reconciliation.adopted:
        print_line(f"segment {segment_id}: adopted")
    for journal_id in reconciliation.journals:
        print_line(f"journal {journal_id}: adopted")
    if reconciliation.adopted or reconciliation.journals:
        print_line(f"{reconciliation.pending} batches of adopted files are pending")
    for left in reconciliation.unadopted:
        print_note(f"{left.path} is not adopted: {left.reason}", "red")


def _print(recovery: Recovery) -> None:
    _print_reconciliation(recovery.reconciled)
    for settlement in recovery.settled:
        print_line(f"{settlement.ref.dataset}: flush {settlement.ref.epoch} was interrupted, now {settlement.state}")
    if recovery.rolled_up:
        print_line(f"{count(len(recovery.rolled_up), 'segment')} made of what lay in journals")
    segments = count(recovery.drained, "drained segment")
    leftovers = count(len(recovery.spool_removed), "spool leftover")
    print_line(f"{segments} and {leftovers} removed, {count(recovery.forgotten, 'dead process')} forgotten")
    for incident in recovery.set_aside:
        print_note(f"{incident.dataset}: {incident_sentence(incident)}", "red")
    for left in recovery.left_out:
        print_note(f"journal {left.journal_id} cannot be read now: {left.reason}", "red")
    for error in recovery.errors:
        print_error(error, as_json=False)
