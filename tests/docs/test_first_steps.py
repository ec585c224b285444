"""What docs/first-steps.md tells a newcomer to write, tried beside a Dagster with two assets and a schedule."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from tests.cli.running import timestore
from tests.docs.documents import ROOT
from timestore_pipeline import Settings
from timestore_pipeline.wiring import Timestore

PAGE = (ROOT / "docs" / "first-steps.md").read_text()
OURS = """
import dagster as dg

@dg.asset
def orders() -> int:
    return 2

@dg.asset
def revenue(orders: int) -> int:
    return orders * 10

daily = dg.ScheduleDefinition(name="daily", target=dg.AssetSelection.all(), cron_schedule="0 5 * * *")
defs = dg.Definitions(assets=[orders, revenue], schedules=[daily])
"""


def blocks(step: int, language: str) -> list[str]:
    """The blocks of that language under the step's heading."""
    section = re.search(rf"^## {step}\. .*?$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, step
    return re.findall(rf"^```{language}\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)


def team_definitions(folder: Path) -> dict[str, Any]:
    """The module's names, with what the page says at its end."""
    [source] = blocks(8, "python")
    (folder / "team_definitions.py").write_text(OURS + source)
    return runpy.run_path(str(folder / "team_definitions.py"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("TIMESTORE_HOME", str(home))
    return home


def test_the_workspace_has_our_code_location_beside_theirs() -> None:
    workspace, _ = blocks(3, "yaml")
    theirs, ours = (entry["python_module"] for entry in yaml.safe_load(workspace)["load_from"])
    assert theirs == "team_definitions"
    assert ours == yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"][0]["python_module"]


def test_the_lines_for_dagster_yaml_are_ours_and_dagster_takes_them(tmp_path: Path) -> None:
    _, lines = blocks(3, "yaml")
    (tmp_path / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{lines}")
    dagster_instance_config(str(tmp_path))
    ours = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    added: dict[str, Any] = yaml.safe_load(lines)
    assert {name: ours[name] for name in added.keys() - {"run_monitoring"}} | {
        "run_monitoring": {"enabled": True}
    } == added


def test_the_assets_stage_and_follow_the_declared_dataset(home: Path, tmp_path: Path) -> None:
    [declared] = blocks(5, "yaml")
    (tmp_path / "datasets.yaml").write_text(f"{declared}    upstream: [raw/readings]\n")
    timestore("datasets", "apply", str(tmp_path / "datasets.yaml"))
    defs: dg.Definitions = team_definitions(tmp_path)["defs"]
    staged = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        asset_selection=[dg.AssetKey(["raw", "readings"])]
    )
    assert staged.success
    with Timestore(Settings.from_env()) as store:
        assert store.status("weather").backlog.pending.rows == 24
        assert store.area.ledger.datasets.get("weather").metadata.upstream == ("raw/readings",)
        assert store.flush_settings("weather").parquet.compression == "gzip"
    graph = defs.resolve_asset_graph()
    assert graph.get(dg.AssetKey("report")).parent_keys == {dg.AssetKey(["timestore", "weather"])}
    assert graph.has(dg.AssetKey("revenue"))


@pytest.mark.filterwarnings("ignore:.* is currently in beta")  # a parameter that Dagster's own function passes
def test_the_report_follows_each_flush_although_days_have_no_data(tmp_path: Path) -> None:
    """As Dagster decides it: `eager()` alone waits until each partition of the dataset is there."""
    days = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-05")
    weather = dg.AssetSpec(["timestore", "weather"], partitions_def=days)
    definitions = dg.Definitions(assets=[weather, team_definitions(tmp_path)["report"]])
    with dg.DagsterInstance.ephemeral() as instance:
        cursor, requested = None, []
        for day in (None, "2026-01-02", None, "2026-01-02"):
            if day:
                instance.report_runless_asset_event(dg.AssetMaterialization(weather.key, partition=day))
            ticked = dg.evaluate_automation_conditions(defs=definitions, instance=instance, cursor=cursor)
            cursor = ticked.cursor
            requested.append(ticked.total_requested)
    assert requested == [0, 1, 0, 1]
