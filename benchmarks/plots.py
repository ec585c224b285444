"""The figures as pictures, for docs/images."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from benchmarks.figures import MEASURES, Results, Verdict
from benchmarks.report import PLOTS, title
from benchmarks.targets import GROUPS

_OURS, _OTHERS, _MISSED = "#1b6ca8", "#7f8790", "#c0392b"
_OF_OURS = ("ours", "http", "client")


def draw(results: Results, folder: Path) -> None:
    """One file each of `report.PLOTS`."""
    mpl.use("agg")
    one, eight, targets = (folder / name for name in PLOTS)
    _contenders(results, "one_producer", ("p50", "p50"), (10, 1_000), one)
    _contenders(results, "eight_producers", ("rate", "p99"), (10, 1_000), eight)
    _targets(results, targets)


def _contenders(results: Results, part: str, measures: tuple[str, str], sizes: tuple[int, int], file: Path) -> None:
    """A panel for each size and each different measure."""
    panels = [(size, measure) for measure in dict.fromkeys(measures) for size in sizes]
    picture = Picture(figsize=(6 * 2, 3.2 * len(panels) / 2), layout="constrained")
    for axes, (size, measure) in zip(picture.subplots(len(panels) // 2, 2).flat, panels, strict=True):
        _panel(axes, results, f"{part}.{size}.", measure)
        axes.set_title(f"{size:,} rows a batch", loc="left", fontsize=10)
    picture.savefig(file, dpi=110)


def _panel(axes: Axes, results: Results, prefix: str, measure: str) -> None:
    found = {
        key.split(".")[2]: figure
        for key, figure in results.figures.items()
        if key.startswith(prefix) and key.endswith(f".{measure}")
    }
    for row, (name, figure) in enumerate(reversed(found.items())):
        colour = _OURS if name in _OF_OURS else _OTHERS
        axes.plot((figure.lowest, figure.highest), (row, row), color=colour, linewidth=1.5)
        axes.plot(figure.median, row, "o", color=colour)
    axes.set_yticks(range(len(found)), [_plain(title(name)) for name in reversed(found)], fontsize=8)
    axes.set_ylim(-0.5, len(found) - 0.5)
    axes.set_xlabel(f"{MEASURES[measure][0]}; dots: medians over rounds, lines: lowest to highest", fontsize=8)
    _in_powers(axes)


def _in_powers(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", color="#e0e0e0")


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")


def _targets(results: Results, file: Path) -> None:
    """How far each is from its limit, which lies at 1: to the left of it the target is met."""
    measured = [judged for group in GROUPS for judged in map(results.judge, group.targets) if judged.figure]
    measured.reverse()
    picture = Picture(figsize=(12, 1 + 0.28 * len(measured)), layout="constrained")
    axes = picture.subplots()
    for row, judged in enumerate(measured):
        assert judged.figure is not None
        share = judged.figure.median / judged.target.limit
        colour = _OURS if judged.verdict is Verdict.MET else _MISSED
        axes.plot(1 / share if judged.target.at_least else share, row, "o", color=colour)
    axes.axvline(1, color="#555555", linewidth=1)
    axes.set_yticks(range(len(measured)), [_plain(judged.target.name) for judged in measured], fontsize=8)
    axes.set_ylim(-1, len(measured))
    _in_powers(axes)
    axes.set_xlabel("share of the limit that is used; met to the left of 1", fontsize=8)
    picture.savefig(file, dpi=110)
