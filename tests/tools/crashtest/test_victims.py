"""If the victims' parent dies, at any point, the test gets an error that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.tools.crashtest.schedule import CrashPlan
from timestore_pipeline.tools.crashtest.victims import Victims


def test_a_parent_that_died_between_two_orders_is_named_with_its_log(tmp_path: Path) -> None:
    plan = CrashPlan(tmp_path, kills=1, seed=1)
    plan.logs.mkdir()
    with pytest.raises(TimestoreError, match="is gone") as lost:
        start_without_parent(plan)
    assert "fork-server.log" in (lost.value.hint or "")


def start_without_parent(plan: CrashPlan) -> None:
    with Victims(plan) as victims:
        victims._fork_server.kill()
        victims._fork_server.wait()
        victims.start()
