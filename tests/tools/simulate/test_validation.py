"""Each point of the validation fails for its own reason, and says which limit bound."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from timestore_pipeline import Settings
from timestore_pipeline.tools.crashtest.oracle import OracleVerdict
from timestore_pipeline.tools.simulate.load import Load
from timestore_pipeline.tools.simulate.simulation import percentile
from timestore_pipeline.tools.simulate.validation import Measured, SimulationReport


@pytest.fixture
def report(tmp_path: Path) -> SimulationReport:
    plan = Load.under(Settings.build(home=tmp_path), tmp_path, datetime(2026, 1, 1, tzinfo=UTC))
    measured = Measured(1.0, 0.1, 7, 1000, 3, 0, 3, 100, 0.5, 0.001, 0.002)
    return SimulationReport(plan, 1.0, OracleVerdict(acked_batches=2, acked_rows=20), (), 0, {}, 0, (), measured)


def failing(report: SimulationReport) -> list[str]:
    return [f"{point.check}: {point.seen}" for point in report.points() if not point.ok]


def test_a_sound_report_passes(report: SimulationReport) -> None:
    assert (report.ok, failing(report)) == (True, [])


def test_batches_that_stay_fail(report: SimulationReport) -> None:
    assert failing(replace(report, depth=2)) == ["queue depth settles: 2 batches after 0.1 s of draining, 7 at most"]


def test_slow_flushes_fail_and_so_do_none(report: SimulationReport) -> None:
    assert failing(replace(report, slo=0.4)) == ["flush p95: 0.500 s over 3 flushes"]
    none = replace(report, measured=replace(report.measured, flush_p95=None))
    assert failing(none) == ["flush p95: no flush was published"]


def test_a_lost_row_fails_and_so_does_nothing_at_all(report: SimulationReport) -> None:
    lost = OracleVerdict(acked_batches=2, acked_rows=20, lost=1, findings=["batch 0/1 of d: 1 of 10 rows are lost"])
    assert failing(replace(report, verdict=lost)) == ["conservation: batch 0/1 of d: 1 of 10 rows are lost"]
    assert failing(replace(report, verdict=OracleVerdict())) == ["conservation: nothing was acknowledged"]


def test_a_drop_fails_with_the_limit_that_bound(report: SimulationReport) -> None:
    dropped = replace(report, drops={"queue_full": 7}, refusals=7)
    assert failing(dropped) == ["drops: 7 refusals; 7 queue_full (TIMESTORE_STAGING_MAX_PENDING)"]


def test_a_producer_that_gave_up_fails(report: SimulationReport) -> None:
    assert failing(replace(report, faults=["producer 0: gave up"])) == ["processes: producer 0: gave up"]


def test_percentiles_are_values_that_were_seen_or_lie_between() -> None:
    assert percentile([], 95) is None
    assert percentile([3.0], 95) == 3.0
    assert 94 <= (percentile([float(n) for n in range(1, 101)], 95) or 0) <= 96
