"""The summary at the end of the demo: one column per dataset, then what concerns the whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from demo.outcome import DatasetOutcome, Outcome

_STATES = ("pending", "in_flight", "published", "quarantined", "discarded")


def show(console: Console, outcome: Outcome) -> None:
    """Print the tables and the verdict."""
    console.print(_datasets(outcome))
    console.print(_whole_run(outcome))
    for problem in outcome.problems:
        console.print(f"✗ {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    if not outcome.problems:
        console.print("✓ every row of the source was published exactly once", style="green", highlight=False)


def _datasets(outcome: Outcome) -> Table:
    table = Table("", *(dataset.comparison.dataset for dataset in outcome.datasets), title="A year through the queue")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, cell in _ROWS:
        table.add_row(name, *(cell(dataset) for dataset in outcome.datasets))
    return table


def _whole_run(outcome: Outcome) -> Table:
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    for name, value in _facts(outcome):
        table.add_row(name, value)
    return table


def _facts(outcome: Outcome) -> Iterator[tuple[str, str]]:
    if outcome.reports:
        yield "duplicates refused", f"{sum(report.duplicate_batches for report in outcome.reports):,} batches"
    if outcome.runs is not None:
        yield "Dagster runs", counted(outcome.runs)
    for dataset in outcome.datasets:
        yield f"{dataset.comparison.dataset} rows", conservation(dataset)
    for victim, proof in outcome.kills:
        yield f"killed: {victim}", proof
    yield "timestore verify", "ok" if outcome.verified else "NOT ok"
    if outcome.elapsed_seconds:
        yield "elapsed", f"{outcome.elapsed_seconds:.1f} s"


def counted(counts: Counter[str]) -> str:
    """`3 rows, 2 age`, the most frequent first."""
    return ", ".join(f"{count} {name.lower()}" for name, count in counts.most_common()) or "none"


def conservation(dataset: DatasetOutcome) -> str:
    """Both sides of the equation that always holds, in rows; states without rows are left out."""
    rows = {state: int(dataset.account.get(f"{state}_rows", 0)) for state in _STATES}
    parts = " + ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in rows.items() if count)
    return f"{dataset.account.get('accepted_rows', 0):,} accepted = {parts or '0'}"


def _hash(dataset: DatasetOutcome) -> str:
    comparison = dataset.comparison
    if comparison.source_hash == comparison.published_hash:
        return f"equal ({comparison.source_hash[:12]})"
    return f"DIFFERENT ({comparison.source_hash[:12]}, {comparison.published_hash[:12]})"


def _sizes(dataset: DatasetOutcome) -> str:
    if not dataset.file_bytes:
        return "none"
    sizes = (min(dataset.file_bytes), dataset.median_file_bytes, max(dataset.file_bytes))
    return " / ".join(f"{size / 1_000:,.0f}" for size in sizes) + " kB"


_ROWS: tuple[tuple[str, Callable[[DatasetOutcome], str]], ...] = (
    ("source rows", lambda dataset: f"{dataset.comparison.source_rows:,}"),
    ("published rows", lambda dataset: f"{dataset.comparison.published_rows:,}"),
    ("content (SHA-256)", _hash),
    ("batches staged", lambda dataset: f"{dataset.account.get('accepted_batches', 0):,}"),
    ("flushes", lambda dataset: counted(dataset.flushes)),
    ("files", lambda dataset: f"{len(dataset.file_bytes):,}"),
    ("smallest/median/largest", _sizes),
)
