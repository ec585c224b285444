"""A dataset with a clean audit: 30 rows published, 20 staged in a sealed segment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.audit.books import readings
from tests.staging.rolled import roll_up_all
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.build(home=tmp_path)


@pytest.fixture
def store(settings: Settings) -> Iterator[Timestore]:
    with Timestore(settings) as opened:
        with opened.staging() as staging:
            staging.enqueue("weather", readings(10))
            staging.enqueue("weather", readings(20))
            opened.flush("weather", Trigger.MANUAL, "test")
            staging.enqueue("weather", readings(12))
            staging.enqueue("weather", readings(8))
        roll_up_all(opened.area)
        yield opened
