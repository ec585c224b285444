"""A staging directory of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger import Ledger


@pytest.fixture
def area(tmp_path: Path) -> Iterator[StagingArea]:
    with StagingArea(tmp_path / "staging", "shard-0") as opened:
        yield opened


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.sqlite", "shard-0")
    yield opened
    opened.close()
