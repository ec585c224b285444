"""The panels as a Grafana dashboard, through Grafana's own typed builders. Import it through `dashboard`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from timestore_pipeline.monitoring.alerting.alert import Severity, anchor_of
from timestore_pipeline.monitoring.alerting.panel import Panel, PanelKind, Query, Row
from timestore_pipeline.monitoring.alerting.panels import ALERT_OF, rows
from timestore_pipeline.monitoring.alerting.promql import RuleDurations

UID = "timestore-staging"
_SOURCE = dashboard.DataSourceRef("prometheus", "$datasource")
_COLOURS = {Severity.WARNING: "orange", Severity.PAGE: "red"}
_DASHED = [
    dashboard.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}),
    dashboard.DynamicConfigValue("custom.fillOpacity", 0),
    dashboard.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "dark-red"}),
]
_WIDTHS = {PanelKind.NUMBER: 4, PanelKind.LINES: 12, PanelKind.TABLE: 24}  # of the 24 columns of Grafana's grid

Visual = TypeVar("Visual", stat.Panel, timeseries.Panel, table.Panel)


def dashboard_document(durations: RuleDurations, runbook: str) -> str:
    """The dashboard's JSON, the same text for the same arguments."""
    built = build.Dashboard("Timestore staging").uid(UID).tags(["timestore"]).refresh("30s").time("now-6h", "now")
    built = built.tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    for variable in (_datasource(), _values("shard", "timestore_staging_sensor_last_tick_timestamp_seconds"),
                     _values("dataset", 'timestore_staging_queue_depth{shard=~"$shard"}'), _top()):  # fmt: skip
        built = built.with_variable(variable)
    if _can_be_opened(runbook):
        built = built.link(_link(runbook))
    numbers = itertools.count(1)
    for row in rows(durations):
        built = _with_row(built, row, numbers, runbook)
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _with_row(built: build.Dashboard, row: Row, numbers: Iterator[int], runbook: str) -> build.Dashboard:
    built = built.with_row(build.Row(row.title).id(next(numbers)))
    for panel in row.panels:
        visual = _VISUALS[panel.kind](panel).id(next(numbers))
        if panel.title in ALERT_OF:
            _advise(visual, panel, runbook)
        built = built.with_panel(visual)
    return built


def _advise(visual: stat.Panel | timeseries.Panel | table.Panel, panel: Panel, runbook: str) -> None:
    """Add a link to the panel's corner, or to its description if the runbook is a file that no browser can open."""
    place = f"{runbook}#{anchor_of(ALERT_OF[panel.title])}"
    if _can_be_opened(runbook):
        visual.links([_link(place)])
    else:
        visual.description(f"{panel.description} Runbook: {place}".strip())


def _can_be_opened(address: str) -> bool:
    return "://" in address


def _link(address: str) -> build.DashboardLink:
    link = build.DashboardLink("Runbook").type(dashboard.DashboardLinkType.LINK)
    return link.url(address).target_blank(True).icon("doc")


def _number(panel: Panel) -> stat.Panel:
    return _titled(stat.Panel().color_mode(common.BigValueColorMode.BACKGROUND).height(4), panel)


def _lines(panel: Panel) -> timeseries.Panel:
    legend = build_common.VizLegendOptions().display_mode(common.LegendDisplayMode.TABLE)
    legend = legend.placement(common.LegendPlacement.RIGHT).calcs(["lastNotNull", "max"]).show_legend(True)
    lines = _titled(timeseries.Panel().height(8).min(0).fill_opacity(10).legend(legend), panel)
    lines = lines.tooltip(build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    for index, query in enumerate(panel.queries):
        if query.limit:
            lines = lines.override_by_query(_ref(index), _DASHED)
    if panel.levels:
        style = build_common.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        lines = lines.thresholds_style(style)
    return lines


def _table(panel: Panel) -> table.Panel:
    """One row per dataset: the queries' results side by side, joined by their labels."""
    names = {f"Value #{_ref(index)}": query.legend for index, query in enumerate(panel.queries)}
    organized = {"excludeByName": {"Time": True}, "renameByName": names}
    filled = _titled(table.Panel().height(10), panel)
    filled = filled.with_transformation(dashboard.DataTransformerConfig("merge", options={}))
    return filled.with_transformation(dashboard.DataTransformerConfig("organize", options=organized))


_VISUALS: dict[PanelKind, Callable[[Panel], stat.Panel | timeseries.Panel | table.Panel]] = {
    PanelKind.NUMBER: _number,
    PanelKind.LINES: _lines,
    PanelKind.TABLE: _table,
}


def _titled(visual: Visual, panel: Panel) -> Visual:
    visual = visual.title(panel.title).description(panel.description).unit(panel.unit.value)
    visual = visual.datasource(_SOURCE).span(_WIDTHS[panel.kind])
    for index, query in enumerate(panel.queries):
        visual = visual.with_target(_target(query, _ref(index), panel.kind))
    steps = [dashboard.Threshold(None, "green")]
    steps += [dashboard.Threshold(value, _COLOURS[severity]) for severity, value in panel.levels]
    return visual.thresholds(build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps))


def _target(query: Query, ref: str, kind: PanelKind) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(ref).expr(query.expression).legend_format(query.legend).datasource(_SOURCE)
    if kind is PanelKind.LINES:
        return target.range()
    return target.instant().format(PromQueryFormat.TABLE if kind is PanelKind.TABLE else PromQueryFormat.TIME_SERIES)


def _ref(index: int) -> str:
    return chr(ord("A") + index)


def _datasource() -> build.DatasourceVariable:
    return build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _values(label: str, selector: str) -> build.QueryVariable:
    """All values match `.*`: a pattern of a thousand names would make every query huge."""
    variable = build.QueryVariable(label).datasource(_SOURCE).query(f"label_values({selector}, {label})")
    variable = variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable = variable.sort(dashboard.VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).all_value(".*")
    return variable.current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))


def _top() -> build.CustomVariable:
    variable = build.CustomVariable("top").label("Lines per panel").values("10,25,100")
    return variable.current(dashboard.VariableOption(selected=True, text="10", value="10"))
