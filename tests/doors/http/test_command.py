"""`timestore serve` as people start it: a program of its own, in the foreground."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.doors.http.serving import ROOT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_and_exits_cleanly_on_a_signal(home: Path, number: int) -> None:
    command = [sys.executable, "-m", "timestore_pipeline", "serve", "--port", "0"]
    environment = os.environ | {"TIMESTORE_HOME": str(home)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            says, url = serving.stdout.readline().split()
            assert (says, httpx.get(f"{url}/ready", timeout=60).status_code) == ("serving", 200)
            serving.send_signal(number)
            assert serving.wait(60) == 0
        finally:
            serving.kill()
