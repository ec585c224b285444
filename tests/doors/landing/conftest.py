"""Settings with a landing folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from timestore_pipeline.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "landing").mkdir()
    return Settings.build(home=tmp_path, landing_directory=tmp_path / "landing", landing_settle_ms=0)
