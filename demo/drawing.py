"""Panels as a picture: curves, limits and levels, on a dark ground like a dashboard's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from timestore_pipeline.monitoring.alerting.alert import Severity
from timestore_pipeline.monitoring.alerting.panel import Unit

_GROUND, _PANEL, _TEXT, _GRID = "#0f1116", "#181b21", "#d0d4dc", "#2b3038"
_COLOURS = ("#5794f2", "#73bf69", "#f2cc0c", "#b877d9", "#ff9830", "#8ab8ff", "#ca95e5", "#ffb357")
_LEVELS = {Severity.WARNING: "#ff9830", Severity.PAGE: "#f2495c"}
_GOOD = ("#73bf69", "#37872d", "#96d98d", "#c8f2c2", "#19730e")
_BAD = ("#f2495c", "#c4162a", "#ff7383", "#ffa6b0", "#ad0317")
_COLUMNS = 3
_TITLE_ROOM = 72  # characters over a panel
_GAP = 2.5  # seconds between two samples of one line


@dataclass(frozen=True, slots=True)
class Curve:
    label: str
    points: Sequence[tuple[float, float]]  # seconds, value
    limit: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel with its answers."""

    title: str
    unit: Unit
    levels: Sequence[tuple[Severity, float]]
    curves: Sequence[Curve]


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds during which a page was firing."""

    first: float
    last: float


def draw(target: Path, panels: Sequence[Drawn], spans: Sequence[Span], seconds: float) -> None:
    """Write a PNG, three panels to a row; `seconds`: how long the time axis is."""
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(16, 3.1 * rows + 0.6), facecolor=_GROUND, layout="constrained")
    for axes, panel in zip(figure.subplots(rows, _COLUMNS).flat, panels, strict=False):
        _panel(axes, panel, spans, seconds)
    figure.suptitle("Timestore staging", color=_TEXT, fontsize=15, x=0.012, ha="left", weight="bold")
    note = "shaded: a page is firing    dashed: where alerts begin"
    figure.text(0.988, 0.988, note, color=_LEVELS[Severity.PAGE], fontsize=10, ha="right", va="top")
    figure.savefig(target, dpi=100, facecolor=_GROUND)


def _panel(axes: Axes, panel: Drawn, spans: Sequence[Span], seconds: float) -> None:
    for span in spans:
        axes.axvspan(span.first, span.last, color=_LEVELS[Severity.PAGE], alpha=0.13, linewidth=0)
    plain = lively(panel.curves)
    colours = dict(zip((curve.label for curve in plain), _colours(plain), strict=True))
    for curve in plain:
        _curve(axes, curve, colours[curve.label])
    for curve in (curve for curve in panel.curves if curve.limit):
        colour = colours.get(curve.label.removeprefix("limit of "), _TEXT)
        axes.plot(*unbroken(curve.points), color=colour, linestyle=(0, (4, 3)), linewidth=1.1)
    for severity, level in panel.levels:
        axes.axhline(level, color=_LEVELS[severity], linestyle=(0, (6, 4)), linewidth=1.2)
    _style(axes, panel, seconds)


def lively(curves: Sequence[Curve]) -> list[Curve]:
    """The curves that are no limits and not always zero, by name: ten zeros would only fill the legend."""
    moved = [curve for curve in curves if not curve.limit and any(value > 0 for _, value in curve.points)]
    return sorted(moved, key=lambda curve: curve.label)


def unbroken(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Seconds and values; where samples are missing the line is broken and not drawn across."""
    at: list[float] = []
    values: list[float] = []
    for second, value in points:
        if at and second - at[-1] > _GAP:
            at.append(second)
            values.append(math.nan)
        at.append(second)
        values.append(value)
    return at, values


def _colours(curves: Sequence[Curve]) -> Iterator[str]:
    """Successes are green and failures red, in every panel."""
    usual, good, bad = iter(_COLOURS), iter(_GOOD), iter(_BAD)
    for curve in curves:
        if "success" in curve.label:
            yield next(good)
        elif "failure" in curve.label:
            yield next(bad)
        else:
            yield next(usual)


def _curve(axes: Axes, curve: Curve, colour: str) -> None:
    at, values = unbroken(curve.points)
    axes.plot(at, values, color=colour, linewidth=1.8, label=curve.label)
    axes.fill_between(at, values, color=colour, alpha=0.10, linewidth=0)


def _style(axes: Axes, panel: Drawn, seconds: float) -> None:
    axes.set_facecolor(_PANEL)
    axes.set_title(panel.title, color=_TEXT, fontsize=11.5, loc="left", pad=8)
    axes.set_xlim(0, seconds)
    axes.set_ylim(bottom=0)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.tick_params(colors="#8e94a0", labelsize=9, length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _amount(value, panel.unit)))
    for spine in axes.spines.values():
        spine.set_color(_GRID)
    _legend(axes, panel.title)


def _legend(axes: Axes, title: str) -> None:
    """Beside the title where both fit, otherwise inside, where long names stand in one column."""
    labels = axes.get_legend_handles_labels()[1]
    if not labels:
        return
    fits = len(title) + sum(len(label) + 4 for label in labels) < _TITLE_ROOM
    style: dict[str, Any] = {
        "fontsize": 8.5,
        "frameon": False,
        "labelcolor": _TEXT,
        "handlelength": 1.2,
        "columnspacing": 1.0,
    }
    if fits:
        axes.legend(loc="lower right", bbox_to_anchor=(1.01, 0.985), ncols=4, borderaxespad=0.2, **style)
    else:
        axes.legend(loc="upper left", **style)


def _amount(value: float, unit: Unit) -> str:
    if unit is Unit.SHARE:
        return f"{value:.0%}"
    if unit is Unit.SECONDS:
        return f"{value:g} s"
    return f"{value / 1_000:g}k" if value >= 1_000 else f"{value:g}"
