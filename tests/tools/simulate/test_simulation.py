"""Producers are started together or not at all."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from timestore_pipeline import Settings
from timestore_pipeline.tools.simulate.load import Load
from timestore_pipeline.tools.simulate.simulation import Crew


def test_ctrl_c_while_producers_are_started_leaves_none_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Load.under(Settings.build(home=tmp_path), tmp_path, datetime(2026, 1, 1, tzinfo=UTC), producers=2)
    started: list[subprocess.Popen[bytes]] = []
    start = Crew._start

    def one_and_then_ctrl_c(crew: Crew, number: int) -> subprocess.Popen[bytes]:
        if number:
            raise KeyboardInterrupt
        started.append(start(crew, number))
        return started[0]

    monkeypatch.setattr(Crew, "_start", one_and_then_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        Crew(plan)
    assert [process.returncode for process in started] == [-9]
