"""An empty store, and a table of many small files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.maintain.small_files import rows
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.build(home=tmp_path)


@pytest.fixture
def store(settings: Settings) -> Iterator[Timestore]:
    with Timestore(settings) as opened:
        yield opened


@pytest.fixture
def fragmented(store: Timestore) -> Timestore:
    """Six flushes of rows of two days: twelve files."""
    with store.staging() as staging:
        for number in range(6):
            staging.enqueue("weather", rows(number))
            store.flush("weather", Trigger.MANUAL, "test")
    return store
