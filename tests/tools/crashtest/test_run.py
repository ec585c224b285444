"""A short crash test of the product as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.crashtest.processes import running
from timestore_pipeline.errors import InvalidInput
from timestore_pipeline.tools.crashtest.run import crashtest
from timestore_pipeline.tools.crashtest.schedule import CrashPlan


@pytest.mark.slow
def test_thirty_kills_lose_nothing_and_publish_nothing_twice(tmp_path: Path) -> None:
    progress: list[int] = []
    report = crashtest(CrashPlan(tmp_path / "test", kills=30, seed=11), progress.append)
    assert report.problems() == []
    assert report.ok
    assert progress[-1] == report.total_kills == 30
    assert report.verdict.acked_rows > 500
    assert report.flushes.published > 0
    assert report.kills_at_work() > 15, report.kills_by_phase()
    assert len(report.kills_by_phase()) > 6
    assert running(tmp_path) == []


def test_a_directory_with_anything_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(InvalidInput, match="not empty"):
        crashtest(CrashPlan(tmp_path, kills=1, seed=1))
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
