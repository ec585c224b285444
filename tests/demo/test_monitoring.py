"""`make monitoring` starts three servers, says where they are, and leaves none behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from demo.environment import REPOSITORY
from demo.monitoring import render
from tests.services.require import require_command
from timestore_pipeline.monitoring.alerting.promql import RuleDurations
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

PATIENCE = 60.0  # seconds for an answer, or for the end


@pytest.mark.service
def test_the_stack_serves_until_it_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for server in ("prometheus", "prometheus-pushgateway", "prometheus-alertmanager"):
        require_command(server, remedy=f"apt-get install {server}")
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-m", "demo", "monitoring", "--folder", str(tmp_path / "stack")]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        said = [demo.stdout.readline() for _ in range(6)]
        urls = [word.strip() for line in said[:3] for word in line.split() if word.startswith("http://")]
        with urlopen(f"{urls[0].removesuffix('/alerts')}/api/v1/rules", timeout=PATIENCE) as answer:
            assert "TimestoreOldestBatch" in answer.read().decode()
        demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE) == 0
    for url in urls:
        with pytest.raises(OSError, match="refused"):
            urlopen(url, timeout=PATIENCE)


def test_rules_for_a_directory_that_is_not_there_do_not_make_it(tmp_path: Path) -> None:
    settings = Settings.build(home=tmp_path / "home", shard="edge-7")
    assert render(tmp_path / "out", settings, RuleDurations()).name == "timestore-edge-7.rules.yml"
    assert not settings.staging_directory.exists()


def test_rules_carry_the_levels_of_the_datasets(tmp_path: Path) -> None:
    settings = Settings.build(home=tmp_path / "home")
    with Timestore(settings) as store:
        store.set_metadata("trips", {"staging": {"alerts": {"backlogWarn": 33}}})
    assert (
        'dataset="trips",metric="batches"}) > 33\n' in render(tmp_path / "out", settings, RuleDurations()).read_text()
    )
