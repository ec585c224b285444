"""A store with a landing folder in which an attacker may write, and a folder in which nothing may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from timestore_pipeline.settings import Settings


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(tmp_path: Path, landing: Path) -> Settings:
    return Settings.build(home=tmp_path, landing_directory=landing, landing_settle_ms=0)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Elsewhere on the host."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious.csv").write_text("n\n666\n")
    return folder
