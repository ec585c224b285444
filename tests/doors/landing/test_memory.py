"""Ten files of a hundred megabytes go through a process that is allowed four hundred."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.running import ROOT
from tests.doors.landing.dropping import files
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock

FILES, ROWS = 10, 3_300_000
ALLOWED = 400_000_000  # bytes, of which a quarter is the code of the libraries


def write_random(path: Path, seed: int) -> None:
    """A hundred megabytes that no encoding makes smaller."""
    draw = np.random.default_rng(seed)
    times = np.arange(ROWS) * 1000 + seed * 10**10
    numbers = {name: draw.random(ROWS) for name in ("a", "b")} | {"c": draw.integers(0, 10**12, ROWS)}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"at": pa.array(times, pa.timestamp("us", "UTC"))} | numbers), path)


@pytest.mark.nightly
def test_memory_does_not_grow_with_what_is_dropped(settings: Settings) -> None:
    assert settings.landing_directory is not None
    for seed in range(FILES):
        write_random(settings.landing_directory / "weather" / f"{seed}.parquet", seed)
    ours = {"TIMESTORE_HOME": settings.home, "TIMESTORE_LANDING_DIRECTORY": settings.landing_directory}
    environment = os.environ | {name: str(value) for name, value in ours.items()} | {"TIMESTORE_LANDING_SETTLE_MS": "0"}
    command = [sys.executable, "-m", "timestore_pipeline", "landing", "ingest"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        most = 0
        while process.poll() is None:
            most = max(most, peak(process.pid))
            clock.sleep(0.05)
    assert process.returncode == 0
    assert len(files(settings, "_archive")) == FILES
    assert most < ALLOWED


def peak(pid: int) -> int:
    """Bytes the process has had in memory at most; 0 once it has ended. `wait4` would tell its parent's before that."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return 0 if found is None else int(found[1]) * 1024
