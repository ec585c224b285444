"""The pager, the doctor and Dagster's check agree on the age beyond which a batch is late."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.running import readings
from tests.monitoring.alerting.activity import SHARD
from tests.monitoring.alerting.scenes import named
from tests.services.prometheus import promtool
from timestore_pipeline import Settings
from timestore_pipeline.defs.checks import FRESH, at_a_glance
from timestore_pipeline.model.thresholds import FlushThresholds
from timestore_pipeline.monitoring.alerting.promql import RuleDurations, Scope, age_limit
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.check_list import backlogs
from timestore_pipeline.tools.doctor.examination import Deployment, Status
from timestore_pipeline.wiring import Timestore

SECOND = timedelta(seconds=1)
CASES = (  # thresholds, and the seconds beyond which a batch is late
    (FlushThresholds(1_000_000, 0, 10 * SECOND), 120.0),
    (FlushThresholds(1_000_000, 0, 60 * SECOND), 120.0),
    (FlushThresholds(0, 0, 600 * SECOND), 930.0),
    (FlushThresholds(0, 0, 0 * SECOND), 120.0),  # every tick flushes
    (FlushThresholds(1_000_000, 0, 0 * SECOND), None),
    (FlushThresholds(0, 1_000_000, 0 * SECOND), None),
)


@pytest.mark.parametrize(("thresholds", "seconds"), CASES)
def test_check_and_doctor_call_a_batch_late_at_the_same_age(
    thresholds: FlushThresholds, seconds: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.build(
        home=tmp_path,
        staging_flush_max_rows=thresholds.max_rows,
        staging_flush_max_bytes=thresholds.max_bytes,
        staging_flush_max_age_ms=thresholds.max_age // timedelta(milliseconds=1),
    )
    with Timestore(settings) as store:
        with store.staging() as staging:
            staged_at = staging.enqueue("weather", readings(5)).staged_at
        for waits, late in ((seconds or 1e6, False), ((seconds or 1e6) + 1, seconds is not None)):
            now = staged_at + timedelta(seconds=waits)
            monkeypatch.setattr(clock, "now", lambda now=now: now)
            [check] = [found for found in at_a_glance(store.status("weather"), 0, now) if found.check == FRESH]
            examined = any(finding.status is Status.FAILED for finding in backlogs(Deployment(settings)))
            assert (check.passed, examined) == (not late, late)


@pytest.mark.service
def test_the_pager_computes_the_same_age_from_series(tmp_path: Path) -> None:
    tests = [_evaluated(thresholds, seconds) for thresholds, seconds in CASES]
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": [], "tests": tests}))
    promtool("test", "rules", tmp_path / "test.yml")


def _evaluated(thresholds: FlushThresholds, seconds: float | None) -> dict[str, object]:
    """One entry of `tests:` in promtool's file."""
    levels = {
        "rows": thresholds.max_rows,
        "bytes": thresholds.max_bytes,
        "age_seconds": thresholds.max_age.total_seconds(),
    }
    labels = f'{{dataset="weather", shard="{SHARD}"}}'
    return {
        "input_series": [
            {"series": named("flush_threshold", dataset="weather", metric=metric), "values": f"{level}x10"}
            for metric, level in levels.items()
        ],
        "promql_expr_test": [
            {
                "expr": age_limit(Scope.of_shard(SHARD), RuleDurations()),
                "eval_time": "1m",
                "exp_samples": [] if seconds is None else [{"labels": labels, "value": seconds}],
            }
        ],
    }
