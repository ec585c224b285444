"""Document, runbook, code, rules and dashboard speak of the same series and alerts, in both directions."""

from __future__ import annotations

import re

from tests.docs.documents import ROOT, anchors
from timestore_pipeline.monitoring.alerting.alert import Alert, Watch
from timestore_pipeline.monitoring.alerting.alerts import alerts, recorded
from timestore_pipeline.monitoring.alerting.panels import rows
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.monitoring.telemetry import series
from timestore_pipeline.monitoring.telemetry.series import API_SERIES

PAGE = ROOT / "docs" / "timestore-observability.md"
RUNBOOK = ROOT / "docs" / "runbooks" / "timestore-staging-operations.md"

_NAME = re.compile(r"\btimestore_staging_[a-z_]*[a-z]\b")
_API_NAME = re.compile(r"\btimestore_api_[a-z_]*[a-z]\b")
_PARTS = re.compile(r"(_seconds)_(?:bucket|sum|count)$")  # of a histogram
_ROW = re.compile(r"^\| \[(\w+)\]\([^)]*#([a-z-]+)\) \| ([a-z, ]+) \|", re.MULTILINE)


def declared() -> dict[str, set[str]]:
    """Name -> labels, `shard` left out."""
    counters = [*series.COUNTERS, series.FLUSH_DURATION]
    found = {one.name: {"dataset", *one.labels} for one in counters} | {
        one.name: set(one.labels) for one in series.GAUGES
    }
    return {series.PREFIX + name: labels for name, labels in found.items()} | {
        series.PREFIX + series.METRICS_PUSH_FAILURES.name: set()
    }


def named_in(text: str) -> set[str]:
    return {_PARTS.sub(r"\1", name) for name in _NAME.findall(text)}


def tables() -> dict[str, set[str]]:
    """Name -> labels, as the page's tables say."""
    found: dict[str, set[str]] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and cells[1].startswith("`timestore_"):
            labels = {label.split(" = ")[0] for label in cells[3].split(", ")} if cells[3] else set()
            known = {"dataset", "metric", "result", "trigger", "reason", "guardrail", "component", "code", "depth"}
            found |= dict.fromkeys(named_in(cells[1]), labels & known)
    return found


def every_alert() -> list[Alert]:
    return alerts(Watch("any"))


def expressions() -> str:
    asked = [query.expression for row in rows(RuleDurations()) for panel in row.panels for query in panel.queries]
    return "\n".join([*asked, *recorded(Watch("any")).values(), *(alert.expression for alert in every_alert())])


def test_every_series_stands_in_a_table_with_its_labels_and_no_other_does() -> None:
    assert tables() == declared()


def test_documents_name_no_series_that_does_not_exist() -> None:
    assert named_in(PAGE.read_text() + RUNBOOK.read_text()) - declared().keys() == set()


def test_rules_and_panels_ask_for_series_that_exist_and_leave_none_out() -> None:
    assert named_in(expressions()) == declared().keys()


def test_rules_and_panels_ask_for_each_series_of_a_server() -> None:
    """`tests/doors/http/test_named_tokens.py` compares the page with what a server exposes."""
    asked = {_PARTS.sub(r"\1", name) for name in _API_NAME.findall(expressions())}
    assert asked == {one.name for one in API_SERIES}


def test_every_alert_is_in_the_table_with_its_severities_and_no_other_is() -> None:
    documented = {
        name: (anchor, set(severities.split(", "))) for name, anchor, severities in _ROW.findall(PAGE.read_text())
    }
    rendered: dict[str, tuple[str, set[str]]] = {}
    for alert in every_alert():
        rendered.setdefault(alert.name, (alert.anchor, set()))[1].add(alert.severity.value)
    assert documented == rendered


def test_the_runbook_has_a_heading_for_every_alert() -> None:
    assert {alert.anchor for alert in every_alert()} - anchors(RUNBOOK) == set()
