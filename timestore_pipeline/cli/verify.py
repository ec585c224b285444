"""`timestore verify`: prove that accepted = pending + in flight + published + quarantined + discarded."""

from __future__ import annotations

from typing import Annotated

import typer

from timestore_pipeline.cli.arguments import SomeOrAll
from timestore_pipeline.cli.output import AsJson, print_line, print_note, print_table, print_verdict
from timestore_pipeline.cli.session import open_store
from timestore_pipeline.cli.wording import count
from timestore_pipeline.recovery.findings import AuditReport, DatasetAudit
from timestore_pipeline.recovery.shard_audit import verify as audit

_NUMBERS = ("accepted", "pending", "in flight", "published", "quarantined", "discarded")
_COLUMNS = ("dataset", *_NUMBERS, "verdict")


def verify(
    datasets: SomeOrAll = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended without losing evidence, and say what was done.")
    ] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read every row of segments and Parquet files, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that every row is accounted for.

    Compares ledger, segments and Delta log in both directions; exit code 1 when something does not add up.
    Read-only without --repair, and safe beside running producers and flushes. --repair enters what the ledger lacks,
    finishes moves into quarantine, recomputes totals where only they differ, and deletes Parquet files that are proven
    never to be published; everything else it leaves, and says why. The table counts rows.

    \b
    Example:
      timestore verify --json
    """
    with open_store() as store:
        report = audit(store.area, store.lake, datasets or (), repair=repair, deep=deep)
    print_verdict(report, _print, as_json=as_json)


def _print(report: AuditReport) -> None:
    if report.datasets:
        print_table(
            _COLUMNS,
            [_row(dataset) for dataset in report.datasets],
            numbers=_NUMBERS,
            spare=("discarded", "quarantined"),
        )
    for dataset in report.datasets:
        _print_findings(dataset)
    print_line(
        "every row is accounted for" if report.ok else "the books do not add up", "green" if report.ok else "red"
    )


def _row(dataset: DatasetAudit) -> tuple[str, ...]:
    rows = (
        dataset.accepted_rows,
        dataset.pending_rows,
        dataset.in_flight_rows,
        dataset.published_rows,
        dataset.quarantined_rows,
        dataset.discarded_rows,
    )
    verdict = "ok" if dataset.ok else count(len(dataset.problems), "problem")
    if dataset.ok and dataset.repaired:
        verdict = "repaired"
    return (dataset.dataset, *(f"{amount:,}" for amount in rows), verdict)


def _print_findings(dataset: DatasetAudit) -> None:
    for done in dataset.mended:
        print_line(f"{dataset.dataset}: {done}", "green")
    for problem in dataset.problems:
        print_line(f"{dataset.dataset}: {problem.message} [{problem.code}]", "red")
        print_line(f"  hint: {problem.hint}")
    for warning in dataset.warnings:
        print_note(f"{dataset.dataset}: warning: {warning.message} [{warning.code}]", "yellow")
        if warning.hint:
            print_note(f"  hint: {warning.hint}", "yellow")
