"""A staging directory and a lake configured through the environment, as Dagster finds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.monitoring.telemetry.patience import patient_push
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.wiring import Timestore

__all__ = ["patient_push"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("TIMESTORE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def staging(home: Path) -> Iterator[StagingManager]:
    with StagingManager.open(Settings.from_env()) as manager:
        yield manager


@pytest.fixture
def timestore(home: Path) -> Iterator[Timestore]:
    with Timestore(Settings.from_env()) as opened:
        yield opened


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral
