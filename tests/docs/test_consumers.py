"""Every example of docs/consumers.md runs as it stands, on a table that was published."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tests.cli.running import staged, timestore, timestore_json
from tests.docs.documents import ROOT
from timestore_pipeline import Settings, StagingManager

BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "consumers.md").read_text(), re.MULTILINE | re.DOTALL)


def test_every_example_reads_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path))
    staged(tmp_path)
    timestore("flush", "weather", "--now")
    table, frame, duck, instant = (printed_by(source, tmp_path) for source in BLOCKS)
    assert "partition_date" in table
    assert "(40, 4)" in frame
    assert "partition_date" in duck
    told = datetime.fromisoformat(instant.strip())
    assert told <= datetime.fromisoformat(timestore_json("explain", "weather")["complete_until"])


@pytest.mark.unreadable_table  # by pyarrow, as the document says
def test_every_example_reads_a_table_with_every_awkwardness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nulls, a column that came later, a struct that grew, odd names, a local time, and rows that deltalake deleted."""
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path))
    for number, more in enumerate([{}, {"a b": ["x", "y"], "s": [{"a": 1}, None]}, {"s": [{"a": 1, "b": "z"}, None]}]):
        with StagingManager.open(Settings.from_env()) as staging:
            staging.enqueue("weather", awkward(number, more))
        timestore("flush", "weather", "--now")
    DeltaTable(tmp_path / "lake" / "weather").delete("n = 0")
    table, frame, duck, _ = (printed_by(source, tmp_path) for source in BLOCKS)
    assert "[[2]]" in "".join(table.split())
    assert "(2, 6)" in frame
    assert "2 │" in duck
    [found] = timestore_json("query", """SELECT count(*) AS n FROM weather WHERE "a b" IS NULL OR "a b" = 'y'""")
    assert found == {"n": 4}


def awkward(number: int, more: Any) -> pa.Table:
    """Two rows, one of them without a time."""
    at = pa.array([datetime(2026, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC"))
    local = pa.array([datetime(2026, 1, 1), None], pa.timestamp("us"))
    return pa.table({"at": at, "n": [2 * number, 2 * number + 1], "local": local, **more})


def printed_by(source: str, home: Path) -> str:
    done = subprocess.run([sys.executable, "-c", source], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (source, done.stderr)
    return done.stdout
