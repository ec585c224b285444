"""Every panel has a query that a real Prometheus accepts, and shows data after real activity."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.monitoring.alerting import stack
from tests.monitoring.alerting.activity import METADATA, readings
from tests.monitoring.alerting.stack import Stack, beat
from timestore_pipeline.doors.access.gate import Access
from timestore_pipeline.doors.http.roster import Roster
from timestore_pipeline.doors.http.server_metrics import ServerMetrics
from timestore_pipeline.errors import AccessDenied, QueueFull, TimestoreError
from timestore_pipeline.flush.failure_policy import block_if_configured_wrong
from timestore_pipeline.maintain.dataset_maintenance import maintain
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.monitoring.alerting.alert import Watch
from timestore_pipeline.monitoring.alerting.alerts import alerts
from timestore_pipeline.monitoring.alerting.panel import Panel, PanelKind, filled
from timestore_pipeline.monitoring.alerting.panels import ALERT_OF, rows
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.monitoring.alerting.rendering import dashboard_json
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.wiring import Timestore

DURATIONS = RuleDurations(10)  # recently = the last minute
PANELS = [panel for row in rows(DURATIONS) for panel in row.panels]
WHEREVER = {"shard": "busy", "dataset": ".*", "top": "10", "__range": "60s", "__rate_interval": "10s"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dashboard_json(RuleDurations()))
    return found


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Prometheus that has watched a shard stage, drop, fail, flush and claim."""
    with stack.running(tmp_path_factory.mktemp("stack"), ["busy"]) as running:
        limits = {"staging_max_pending": 1, "staging_max_dataset_bytes": 200_000, "staging_flush_max_bytes": 100_000}
        home = tmp_path_factory.mktemp("home")
        with Timestore(running.settings(home, "busy", **limits, staging_max_total_bytes=10**9)) as store:
            live(store, running)
        yield running


def live(store: Timestore, running: Stack) -> None:
    """Something of everything that can happen to a dataset, and Prometheus has seen it."""
    for dataset, metadata in METADATA.items():
        store.set_metadata(dataset, metadata)
    watched(store, running, 'accepted_rows_total{dataset="weather"}', 0)
    with store.staging() as staging:
        for dataset in METADATA:
            staging.enqueue(dataset, readings(5_000))
        for _ in range(10):  # beyond the guardrail, whatever the queue says
            staging.enqueue("flights", readings(2_000))
        with suppress(QueueFull):
            for _ in range(10_000):
                staging.submit("flights", readings(2_000))
    lake = Path(store.settings.lake_uri)
    lake.touch()
    for attempt in (1, 2):  # a counter that appears with its first failure shows growth from the second on
        with pytest.raises(TimestoreError):
            store.flush("weather", Trigger.AGE, "test")
        watched(store, running, 'flushes_total{dataset="weather",result="failure"}', attempt)
    lake.unlink()
    for dataset in METADATA:
        store.flush(dataset, Trigger.ROWS, "test")
        watched(store, running, f'flushes_total{{dataset="{dataset}",result="success",trigger="rows"}}', 1)
    with store.staging() as staging:
        staging.enqueue("weather", readings(5))
        staging.enqueue("flights", readings(5))
        staging.enqueue("planes.small", readings(5))
    store.flush("weather", Trigger.AGE, "test")
    for dataset in ("flights", "weather"):
        _upkeep(store, dataset)
    store.pipeline.claim("flights", Trigger.MANUAL, "test")
    store.area.ledger.datasets.set_paused("weather", paused=True)
    block_if_configured_wrong(store.area, "flights", AccessDenied("the lake's keys are another's"), "")
    lake.rename(lake.with_suffix(".away"))
    lake.touch()
    with pytest.raises(TimestoreError):
        store.flush("planes.small", Trigger.AGE, "test")
    watched(store, running, 'in_flight{dataset="flights",metric="batches"}', 1)
    watched(store, running, 'flush_rows_total{dataset="weather",result="success"}', 5_005)
    _serve(store, running)


def _serve(store: Timestore, running: Stack) -> None:
    """Answers of a server, of every kind, twice: a counter that appears shows growth from the second on."""
    metrics = ServerMetrics(Access.of(store.settings), Roster(8, 8, 1))
    group = f"{running.gateway}/metrics/job/http/shard/busy"
    for times in (1, 2):
        for status in (201, 401, 404, 429, 507):
            metrics.count("station-a", "stage", status, 0.02)
        refused = f'timestore_api_file_refused{{file="tokens",shard="busy"}} {times - 1}\n'
        httpx.put(group, content=metrics.exposition("busy") + refused).raise_for_status()
        running.prometheus.query_until(f'timestore_api_requests_total{{status="507"}} >= {times}', bool)


def _upkeep(store: Timestore, dataset: str) -> None:
    """Compact and verify; `flights` has one file, so its first compaction follows its second flush."""
    if dataset == "flights":
        store.flush(dataset, Trigger.MANUAL, "test")
        with store.staging() as staging:
            staging.enqueue(dataset, readings(5))
    [done] = maintain(store.area, store.lake, [dataset], store.maintain_options(min_files=2))
    assert done.compactions
    assert verify(store.area, store.lake, [dataset]).ok


def watched(store: Timestore, running: Stack, selector: str, least: float) -> None:
    """Push, and wait until Prometheus shows it."""
    beat(store)
    running.prometheus.query_until(f"{series.PREFIX}{selector} >= {least}", bool)


@pytest.mark.service
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_shows_what_happened(busy: Stack, panel: Panel) -> None:
    for query in panel.queries:
        assert busy.prometheus.query(filled(query.expression, WHEREVER)), query.expression


@pytest.mark.service
def test_a_chosen_dataset_is_the_only_one_shown(busy: Stack) -> None:
    chosen = {**WHEREVER, "dataset": "flights|weather"}
    shown = {
        dict(labels)["dataset"]
        for panel in PANELS
        for query in panel.queries
        if "{{dataset}}" in query.legend or panel.kind is PanelKind.TABLE
        for labels in busy.prometheus.query(filled(query.expression, chosen))
    }
    assert shown == {"flights", "weather"}


@pytest.mark.service
def test_a_panel_draws_no_more_lines_than_asked_for(busy: Stack) -> None:
    [backlog] = [panel for panel in PANELS if panel.title == "Rows staged"]
    expression = filled(backlog.queries[0].expression, {**WHEREVER, "top": "2"})
    assert len(busy.prometheus.query(expression)) == 2


def test_every_line_about_datasets_is_limited() -> None:
    unlimited = [
        panel.title
        for panel in PANELS
        for query in panel.queries
        if panel.kind is PanelKind.LINES and "{{dataset}}" in query.legend and "topk($top" not in query.expression
    ]
    assert unlimited == []


def test_every_panel_is_in_the_dashboard_with_its_queries(dashboard: dict[str, Any]) -> None:
    drawn = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    asked = [[target["expr"] for target in panel["targets"]] for panel in drawn]
    expected = [panel for row in rows(RuleDurations()) for panel in row.panels]
    assert [panel["title"] for panel in drawn] == [panel.title for panel in expected]
    assert asked == [[query.expression for query in panel.queries] for panel in expected]


def test_levels_are_drawn_where_alerts_begin(dashboard: dict[str, Any]) -> None:
    [backlog] = [
        panel for panel in dashboard["panels"] if panel["title"] == "Batches staged" and panel["gridPos"]["w"] == 12
    ]
    defaults = backlog["fieldConfig"]["defaults"]
    assert [step["value"] for step in defaults["thresholds"]["steps"]] == [None, 20.0, 50.0]
    assert defaults["custom"]["thresholdsStyle"]["mode"] == "dashed"


def test_panels_do_not_lie_on_each_other_and_have_numbers_of_their_own(dashboard: dict[str, Any]) -> None:
    cells = [
        (x, y)
        for panel in dashboard["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_every_placeholder_is_a_variable_or_grafanas_own(dashboard: dict[str, Any]) -> None:
    declared = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", json.dumps(dashboard["panels"])))
    assert used - declared == {"__range", "__rate_interval"}
    assert {"shard", "dataset", "top", "datasource"} <= declared


def test_a_thousand_datasets_are_one_pattern(dashboard: dict[str, Any]) -> None:
    by_name = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert (by_name["dataset"]["allValue"], by_name["dataset"]["includeAll"]) == (".*", True)


def test_the_same_limits_give_the_same_text() -> None:
    assert dashboard_json(RuleDurations()) == dashboard_json(RuleDurations())


def test_a_panel_that_an_alert_judges_links_to_its_place_in_the_runbook() -> None:
    found = json.loads(dashboard_json(RuleDurations(), "https://wiki/runbook"))
    linked = {panel["title"]: panel["links"][0]["url"] for panel in found["panels"] if panel.get("links")}
    assert linked.keys() == ALERT_OF.keys()
    assert linked["Failed flushes"] == "https://wiki/runbook#timestore-flush-failing"
    assert [link["url"] for link in found["links"]] == ["https://wiki/runbook"]


def test_a_runbook_that_is_a_file_is_named_and_not_linked(dashboard: dict[str, Any]) -> None:
    assert [panel["title"] for panel in dashboard["panels"] if panel.get("links")] == []
    [panel] = [panel for panel in dashboard["panels"] if panel["title"] == "Failed flushes"]
    assert panel["description"].endswith(
        "Runbook: docs/runbooks/timestore-staging-operations.md#timestore-flush-failing"
    )


def test_every_alert_about_something_that_can_be_seen_has_a_panel() -> None:
    nothing_to_draw = {"TimestoreAbsent", "TimestoreSeenTwice"}
    assert {alert.name for alert in alerts(Watch("any"))} - set(ALERT_OF.values()) == nothing_to_draw


def test_every_panel_that_is_drawn_has_a_source_a_unit_and_queries_of_its_own(dashboard: dict[str, Any]) -> None:
    for panel in (panel for panel in dashboard["panels"] if panel["type"] != "row"):
        assert panel["datasource"]["uid"] == "$datasource"
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
