"""The measurements: a value per round for each figure, and the reason for each missing one."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from benchmarks.targets import Target

MEASURES = {  # heading of a column, unit of a limit
    "p50": ("median, ms", "ms"),
    "p99": ("p99, ms", "ms"),
    "rate": ("batches a second", "batches/s"),
    "slowest": ("slowest, of the mean", "of the mean"),
    "cpu": ("CPU a batch, ms", "ms"),
    "seconds": ("seconds", "s"),
    "read": ("read, MB", "MB"),
    "first": ("seconds until each has its first batch", "s"),
    "tick": ("seconds of the longest tick", "s"),
    "peak": ("memory, MB", "MB"),
    "threads": ("threads", "threads"),
    "runs": ("runs at a time", "runs"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """Of at least one round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def lowest(self) -> float:
        return min(self.rounds)

    @property
    def highest(self) -> float:
        return max(self.rounds)

    def over(self, other: Figure) -> Figure:
        """The ratio, round by round: a machine that slows down slows both. A round that one lacks is left out."""
        return Figure(tuple(mine / theirs for mine, theirs in zip(self.rounds, other.rounds, strict=False)))


class Verdict(StrEnum):
    MET = "met"
    NOT_MET = "not met"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Judged:
    target: Target
    verdict: Verdict
    figure: Figure | None  # the ratio where the target is one; None = not measured
    reason: str = ""  # why it was not measured


@dataclass
class Results:
    figures: dict[str, Figure] = field(default_factory=dict)  # part.case.contender.measure
    missing: dict[str, str] = field(default_factory=dict)  # a contender, a part or part.case.contender: the reason
    machine: dict[str, str] = field(default_factory=dict)

    def enter(self, where: str, measures: Mapping[str, float]) -> None:
        """One more round of part.case.contender."""
        for measure, value in measures.items():
            known = self.figures.get(f"{where}.{measure}", Figure(()))
            self.figures[f"{where}.{measure}"] = Figure((*known.rounds, value))

    def give_up(self, where: str, reason: str) -> None:
        """Drop the figures of part.case.contender: fewer rounds than the others' would not compare."""
        self.missing[where] = reason
        self.figures = {key: figure for key, figure in self.figures.items() if not key.startswith(f"{where}.")}

    def judge(self, target: Target) -> Judged:
        needed = [target.figure, *filter(None, [target.beside])]
        if absent := [key for key in needed if key not in self.figures]:
            return Judged(target, Verdict.NOT_MEASURED, None, self._why(absent[0]))
        figure = self.figures[target.figure]
        if target.beside:
            figure = figure.over(self.figures[target.beside])
        kept = figure.median >= target.limit if target.at_least else figure.median <= target.limit
        return Judged(target, Verdict.MET if kept else Verdict.NOT_MET, figure)

    def _why(self, key: str) -> str:
        part, _, contender, _ = key.split(".")
        reasons = (self.missing.get(where) for where in (key.rpartition(".")[0], contender, part))
        return next(filter(None, reasons), "not part of this run")

    def save(self, file: Path) -> None:
        figures = {key: [float(f"{value:.4g}") for value in figure.rounds] for key, figure in self.figures.items()}
        file.write_text(json.dumps(asdict(self) | {"figures": figures}, indent=1) + "\n")

    @classmethod
    def load(cls, file: Path) -> Self:
        document: dict[str, Any] = json.loads(file.read_text())
        figures = {key: Figure(tuple(rounds)) for key, rounds in document.pop("figures").items()}
        return cls(figures, **document)
