"""A staging directory of three datasets whose limits differ in every way that rules care about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitoring.alerting.activity import METADATA, SHARD, readings
from tests.monitoring.telemetry.patience import patient_push
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

__all__ = ["patient_push"]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings.build(home=home, shard=SHARD, staging_max_total_bytes=2**30)


@pytest.fixture(scope="session")
def store(settings: Settings) -> Iterator[Timestore]:
    """Every dataset has published once, so that every series has moved or stands at zero; shared, so do not write."""
    with Timestore(settings) as opened:
        with opened.staging() as staging:
            for dataset, metadata in METADATA.items():
                opened.set_metadata(dataset, metadata)
                staging.enqueue(dataset, readings(10))
                opened.flush(dataset, Trigger.MANUAL, "test")
        yield opened
