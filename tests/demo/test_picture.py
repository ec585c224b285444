"""The picture comes from a real run; the real one takes two minutes, this one seconds."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from demo.outage_scenario import Timeline
from demo.picture import run
from tests.services.require import require_command


@pytest.mark.service
@pytest.mark.slow
def test_a_short_life_is_drawn(tmp_path: Path) -> None:
    for server in ("prometheus", "prometheus-pushgateway", "prometheus-alertmanager"):
        require_command(server, remedy=f"apt-get install {server}")
    said = io.StringIO()
    timeline = Timeline(end=14, lake_away=6, burst=7, lake_back=9)
    run(tmp_path / "panels.png", Console(file=said, width=200), timeline)
    assert "the lake was away from 6 to 9 s" in said.getvalue()
    assert (tmp_path / "panels.png").read_bytes().startswith(b"\x89PNG")
