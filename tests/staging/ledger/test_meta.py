"""Facts about the whole shard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from timestore_pipeline.staging.ledger import SENSOR_LAST_TICK, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.sqlite", "shard-0")
    yield opened
    opened.close()


def test_a_fact_nobody_wrote_down_is_none(ledger: Ledger) -> None:
    assert ledger.get_meta(SENSOR_LAST_TICK) is None


def test_a_fact_written_twice_keeps_the_last_value(ledger: Ledger) -> None:
    ledger.set_meta(SENSOR_LAST_TICK, "1")
    ledger.set_meta(SENSOR_LAST_TICK, "2")
    assert ledger.get_meta(SENSOR_LAST_TICK) == "2"


def test_a_fact_survives_its_process(ledger: Ledger, tmp_path: Path) -> None:
    ledger.set_meta(SENSOR_LAST_TICK, "1")
    again = Ledger(tmp_path / "ledger.sqlite", "shard-0")
    assert again.get_meta(SENSOR_LAST_TICK) == "1"
    again.close()
