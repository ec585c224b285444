"""Every example of docs/producers.md runs as it stands, and stages what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import ROOT
from tests.doors.http.serving import server
from timestore_pipeline import Settings
from timestore_pipeline.wiring import Timestore

PAGE = (ROOT / "docs" / "producers.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_example_runs_in_the_order_of_the_page(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    home = tmp_path / "home"
    home.mkdir()
    with server(home) as running:
        environment = environment_of(tmp_path) | {"STAGING_API": running.url, "TIMESTORE_HOME": str(home)}
        for language, source in BLOCKS:
            command = ["bash", "-ec", source] if language == "sh" else [sys.executable, "-c", _materialized(source)]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (source, done.stdout, done.stderr)
        running.stop()
    with Timestore(Settings.build(home=home)) as store:
        staged = {status.backlog.dataset: status.backlog.pending.rows for status in store.statuses()}
    assert staged == {"local": 1, "weather": 101, "asset-weather": 24, "lines": 5}


def environment_of(folder: Path) -> dict[str, str]:
    """With `timestore` on the path, whether or not it is installed there."""
    script = folder / "timestore"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m timestore_pipeline "$@"\n')
    script.chmod(0o755)
    known = {name: value for name, value in os.environ.items() if not name.startswith("TIMESTORE_")}
    return known | {"PYTHONPATH": str(ROOT), "PATH": f"{folder}:{os.environ['PATH']}"}


def _materialized(source: str) -> str:
    """Definitions do nothing by themselves."""
    return (
        f"{source}\nassert dg.materialize([readings], resources=dict(staging=StagingResource())).success\n"
        if ("StagingResource" in source)
        else source
    )
