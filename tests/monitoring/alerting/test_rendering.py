"""Every rule fires when it should, and only then: promtool evaluates the rendered rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.alerting.activity import METADATA, SHARD
from tests.monitoring.alerting.api_cases import API_CASES
from tests.monitoring.alerting.cases import CASES, Case
from tests.monitoring.alerting.scenes import healthy, played
from tests.monitoring.alerting.table_cases import TABLE_CASES
from tests.services.prometheus import promtool
from timestore_pipeline.model.dataset import AlertOverrides
from timestore_pipeline.monitoring.alerting.alert import Watch
from timestore_pipeline.monitoring.alerting.alerts import alerts
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.monitoring.alerting.rendering import rule_file
from timestore_pipeline.monitoring.telemetry.metrics import exposition
from timestore_pipeline.wiring import Timestore

EVERY_CASE = [*CASES, *TABLE_CASES, *API_CASES]


@pytest.fixture(scope="module")
def watch(store: Timestore) -> Watch:
    records = store.area.ledger.datasets.all()
    return Watch(SHARD, {record.name: record.metadata.staging.alerts for record in records})


@pytest.fixture(scope="module")
def rules(watch: Watch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "timestore.yml"
    path.write_text(rule_file(watch))
    return path


def rendered(path: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


@pytest.mark.service
@pytest.mark.parametrize("case", EVERY_CASE, ids=str)
def test_a_rule_fires_and_keeps_quiet(case: Case, rules: Path, store: Timestore, tmp_path: Path) -> None:
    base = healthy(exposition(store.area, store.settings))
    tests = [played(scene, base, case.alert, case.severity) for scene in (case.firing, case.quiet)]
    document = {"rule_files": [str(rules)], "evaluation_interval": case.evaluated, "tests": tests}
    (tmp_path / "test.yml").write_text(json.dumps(document))
    promtool("test", "rules", tmp_path / "test.yml")


@pytest.mark.service
def test_nothing_fires_for_a_healthy_shard(rules: Path, store: Timestore, tmp_path: Path) -> None:
    base = healthy(exposition(store.area, store.settings), samples=10 * 60)
    silence = {"expr": 'ALERTS{alertstate="firing"}', "eval_time": "2h", "exp_samples": []}
    series = [{"series": name, "values": values} for name, values in base.items()]
    test = {"interval": "15s", "input_series": series, "promql_expr_test": [silence]}
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": [str(rules)], "tests": [test]}))
    promtool("test", "rules", tmp_path / "test.yml")


@pytest.mark.service
def test_promtool_finds_nothing_to_complain_about(rules: Path) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", rules)


def test_every_rule_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(rules: Path) -> None:
    found = {(rule["alert"], rule["labels"]["severity"]) for rule in rendered(rules) if "alert" in rule}
    assert found == {(case.alert, case.severity) for case in EVERY_CASE}
    assert [str(case) for case in EVERY_CASE if not case.firing.firing or case.quiet.firing] == []


def test_every_rule_has_texts_a_place_and_a_runbook_link(rules: Path) -> None:
    for rule in (rule for rule in rendered(rules) if "alert" in rule):
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        where = ("{{ $labels.dataset }}: ", "{{ $labels.shard }}: ", "edge-7: ")
        assert rule["annotations"]["summary"].startswith(where)


def test_every_rule_selects_its_own_shard_only(watch: Watch) -> None:
    for alert in alerts(watch):
        selectors = alert.expression.split("{")[1:]
        assert [rest for rest in selectors if f'shard="{SHARD}"' not in rest.split("}")[0]] == []


def test_the_runbook_is_linked_at_the_alerts_name() -> None:
    [found] = {alert.anchor for alert in alerts(Watch(SHARD)) if alert.name == "TimestoreFlushFailing"}
    assert found == "timestore-flush-failing"
    assert "https://wiki/runbook#timestore-backlog" in rule_file(Watch(SHARD), "https://wiki/runbook")


def test_a_dataset_with_levels_of_its_own_is_excluded_from_the_default(watch: Watch) -> None:
    default, own = [a for a in alerts(watch) if a.name == "TimestoreBacklog" and a.severity == "warning"]
    assert 'dataset!~"planes\\\\.small|weather"' in default.expression
    assert own.labels == {"dataset": "planes.small"}
    assert own.expression.endswith("> 200")
    assert set(METADATA) == set(watch.overrides)


def test_who_pushes_rarely_is_not_called_silent_for_it() -> None:
    assert "> 120\n" in rule_file(Watch(SHARD, push_interval=15))
    assert "> 120\n" not in rule_file(Watch(SHARD, push_interval=300))
    assert "> 900\n" in rule_file(Watch(SHARD, push_interval=300))


def test_hurrying_shortens_every_wait() -> None:
    text = rule_file(Watch(SHARD, durations=RuleDurations(60)))
    assert "for: 5s" in text
    assert "[10s]" in text
    assert " > 2\n" in text
    assert "interval: 1s" in text


@pytest.mark.service
def test_a_thousand_levels_of_their_own_are_still_rules(tmp_path: Path) -> None:
    overrides = {f"dataset-{n}": AlertOverrides(backlog_warn=100 + n, backlog_page=2_000) for n in range(1_000)}
    (tmp_path / "rules.yml").write_text(rule_file(Watch(SHARD, overrides)))
    assert "2031 rules found" in promtool("check", "rules", tmp_path / "rules.yml")
