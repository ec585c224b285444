"""Every test has a TIMESTORE_HOME of its own and no other TIMESTORE_* variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith("TIMESTORE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path))
    return tmp_path
