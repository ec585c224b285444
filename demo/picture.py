"""`python -m demo picture`: the dashboard's panels, drawn from a real Prometheus after two lively minutes.

Real producers, flushes, pushes and alerts; in the middle the lake is unavailable for a while. The queries are the
dashboard's own, so that the picture shows only what the dashboard would show.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from rich.console import Console

from demo.drawing import Curve, Drawn, Span, draw
from demo.environment import inherited
from demo.monitoring import Servers, render, start
from demo.outage_scenario import SHARD, Timeline, live
from demo.processes import Children
from timestore_pipeline import Settings
from timestore_pipeline.monitoring.alerting.panel import Panel, PanelKind, filled
from timestore_pipeline.monitoring.alerting.panels import rows
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.system import clock

DURATIONS = RuleDurations(20)  # two minutes of patience become six seconds

_SHOWN = (
    "Batches staged", "Age of the oldest batch", "Share of the dataset's guardrail",
    "Accepted rows per second", "Flushed rows per second", "Flushes by trigger",
    "Flush duration (p95)", "Retried batches", "Dropped batches",
)  # fmt: skip


Answers = list[tuple[Mapping[str, str], list[tuple[float, float]]]]  # labels, points in seconds since the start


@dataclass(frozen=True, slots=True)
class Window:
    """The time range of the picture, in seconds since the epoch."""

    first: float
    last: float

    @property
    def seconds(self) -> float:
        return self.last - self.first


def run(target: Path, console: Console, timeline: Timeline) -> None:
    """Live, ask, draw; takes as long as the time line."""
    with tempfile.TemporaryDirectory(prefix="timestore-picture-") as name:
        folder = Path(name)
        settings = Settings.build(home=folder / "home", shard=SHARD)
        with Children(folder / "logs", inherited()) as children:
            servers, _ = start(children, folder, render(folder, settings, DURATIONS), interval="1s")
            window = _lived(folder, servers, console, timeline)
            panels = [_asked(servers, panel, window) for panel in _chosen()]
            spans = _alarms(servers, window)
    target.parent.mkdir(parents=True, exist_ok=True)
    draw(target, panels, spans, window.seconds)
    console.print(f"drawn: {target}; the lake was away from {timeline.lake_away:.0f} to {timeline.lake_back:.0f} s")


def _lived(folder: Path, servers: Servers, console: Console, timeline: Timeline) -> Window:
    first = clock.now().timestamp()
    console.print(f"living for {timeline.end:.0f} s; watch it at {servers.prometheus}")
    live(folder / "home", servers.gateway, timeline)
    return Window(first, first + timeline.end)


def _chosen() -> list[Panel]:
    lines = {panel.title: panel for row in rows(DURATIONS) for panel in row.panels if panel.kind is PanelKind.LINES}
    return [lines[title] for title in _SHOWN]


def _asked(servers: Servers, panel: Panel, window: Window) -> Drawn:
    """The panel with the answers to its queries."""
    curves = [
        Curve(_labelled(query.legend, labels), points, limit=query.limit)
        for query in panel.queries
        for labels, points in _range(servers, query.expression, window)
    ]
    return Drawn(panel.title, panel.unit, panel.levels, tuple(curves))


def _alarms(servers: Servers, window: Window) -> list[Span]:
    """When a page was firing."""
    paged = 'max(ALERTS{alertstate="firing",severity="page"})'
    return [Span(at, at + 1) for _, points in _range(servers, paged, window) for at, _ in points]


def _range(servers: Servers, expression: str, window: Window) -> Answers:
    whole = f"{window.seconds:.0f}s"
    placeholders = {"shard": SHARD, "dataset": ".*", "top": "5", "__range": whole, "__rate_interval": "10s"}
    asked = {"query": filled(expression, placeholders), "start": window.first, "end": window.last, "step": "1"}
    with urlopen(f"{servers.prometheus}/api/v1/query_range?{urlencode(asked)}", timeout=30) as answer:
        found = json.load(answer)["data"]["result"]
    return [
        (series["metric"], [(at - window.first, float(value)) for at, value in series["values"]]) for series in found
    ]


def _labelled(legend: str, labels: Mapping[str, str]) -> str:
    """There is one shard in the picture: naming it would be noise."""
    for name, value in labels.items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return legend.removesuffix(f" ({SHARD})")
