"""What the library logs during a run stands in the run's event log, a line per flush above all."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from tests.defs.flushing import build, hourly, logged
from timestore_pipeline import StagingManager


def test_a_run_logs_each_flush_once(staging: StagingManager, instance: dg.DagsterInstance) -> None:
    for dataset in ("weather", "planes"):
        staging.enqueue(dataset, hourly(3))
    run = build(instance, "weather", "planes")
    output = logged(instance, run.run_id)
    for dataset in ("weather", "planes"):
        assert (
            output.count(f'event="flush published" dataset={dataset} epoch=1 trigger=manual run_id={run.run_id}') == 1
        )
    assert "publish_seconds=" in output


def test_a_run_logs_a_failed_flush_in_the_chosen_format(
    staging: StagingManager, instance: dg.DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMESTORE_LOG_FORMAT", "json")
    staging.enqueue("weather", hourly(3))
    (home / "lake").mkdir()
    (home / "lake" / "weather").write_text("not a table")
    run = build(instance, "weather")
    [line] = [line for line in logged(instance, run.run_id).splitlines() if '"event": "flush aborted"' in line]
    fields = json.loads(line)
    assert (fields["dataset"], fields["outcome"], fields["files"]) == ("weather", "aborted", 0)
    assert {"claim_seconds", "export_seconds", "code", "error", "reason"} <= fields.keys()
