"""Every test has a home of its own, and no other TIMESTORE_* or AWS_* variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith(("TIMESTORE_", "AWS_")) and not name.startswith("TIMESTORE_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
