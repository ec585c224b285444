"""The outcome of a run of the demo, gathered from the ledger, the lake, Dagster and `timestore verify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from demo.command_line import timestore_json
from demo.producer import Report
from demo.verification import Comparison, compare_all
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.wiring import Timestore

_MOST_FLUSHES = 10_000


@dataclass(frozen=True, slots=True)
class DatasetOutcome:
    """One dataset; `account` is its entry in `timestore verify --json`."""

    comparison: Comparison
    account: dict[str, Any]
    flushes: Counter[str]  # published ones by trigger, the others by state
    file_bytes: tuple[int, ...]

    @property
    def problems(self) -> list[str]:
        found = [f"timestore verify: {self.comparison.dataset}: {problem}" for problem in self.account["problems"]]
        return [*self.comparison.problems, *found]

    @property
    def median_file_bytes(self) -> float:
        return median(self.file_bytes) if self.file_bytes else 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The content of the summary."""

    datasets: Sequence[DatasetOutcome]
    verified: bool  # `timestore verify` said yes
    reports: Sequence[Report] = ()  # none when only the result of an earlier run is checked
    runs: Counter[str] | None = None  # Dagster's, by status; None = not asked
    kills: Sequence[tuple[str, str]] = ()  # victim and proof
    missed_kills: Sequence[str] = ()
    elapsed_seconds: float = 0.0

    @property
    def problems(self) -> list[str]:
        """Empty when every row of the source was published exactly once and the books balance."""
        found = [problem for dataset in self.datasets for problem in dataset.problems]
        found += [f"chaos: the {victim} was never caught" for victim in self.missed_kills]
        return found if found or self.verified else ["timestore verify says no"]


def gather(timestore: Timestore, days: int) -> tuple[list[DatasetOutcome], bool]:
    """Compare every row, ask `timestore verify`, list flushes and files; True when verify says yes."""
    comparisons = compare_all(timestore.settings.home / "lake", days)
    answer = timestore_json("verify")
    accounts = {entry["dataset"]: entry for entry in answer["datasets"]}
    datasets = [_dataset(timestore, comparison, accounts) for comparison in comparisons]
    return datasets, bool(answer["ok"])


def _dataset(timestore: Timestore, comparison: Comparison, accounts: dict[str, Any]) -> DatasetOutcome:
    name = comparison.dataset
    flushes = timestore.area.ledger.flushes.history(name, most=_MOST_FLUSHES)
    return DatasetOutcome(
        comparison,
        accounts.get(name, {"problems": ["nothing was ever staged"]}),
        Counter(flush.trigger if flush.state is FlushState.PUBLISHED else flush.state for flush in flushes),
        tuple(file.bytes for file in timestore.lake.table(name).live_files()),
    )
