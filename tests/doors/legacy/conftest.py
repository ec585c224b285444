"""A home of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from timestore_pipeline.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.build(home=tmp_path / "home")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Where direct writers wrote."""
    return tmp_path / "tree"
