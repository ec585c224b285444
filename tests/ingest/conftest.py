"""A staging directory and a manager of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.ingest.values import conform
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.build(home=tmp_path)


@pytest.fixture
def area(settings: Settings) -> Iterator[StagingArea]:
    """Another process's view of the manager's directory, as far as one process can have it."""
    with StagingArea(settings.staging_directory, settings.shard) as opened:
        yield opened


@pytest.fixture
def manager(settings: Settings) -> Iterator[StagingManager]:
    with StagingManager.open(settings) as opened:
        yield opened


@pytest.fixture
def unchecked_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps pass the door with a key twice: rows that only DuckDB refuses, and only when it writes them."""
    monkeypatch.setattr(conform, "check_map_keys", lambda *_: None)
