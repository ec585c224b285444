"""Every example of docs/consumers.md runs as it stands, on a table that was published."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.running import staged, timestore, timestore_json
from tests.docs.documents import ROOT

BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "consumers.md").read_text(), re.MULTILINE | re.DOTALL)


def test_every_example_reads_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path))
    staged(tmp_path)
    timestore("flush", "weather", "--now")
    table, frame, instant = (printed_by(source, tmp_path) for source in BLOCKS)
    assert "partition_date" in table
    assert "(40, 4)" in frame
    told = datetime.fromisoformat(instant.strip())
    assert told <= datetime.fromisoformat(timestore_json("explain", "weather")["complete_until"])


def printed_by(source: str, home: Path) -> str:
    done = subprocess.run([sys.executable, "-c", source], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (source, done.stderr)
    return done.stdout
