"""A staging directory with a history: published and pending batches, and copies of its ledger."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.staging.rolled import roll_up_in
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.recovery.shard_recovery import Recovery, recover
from timestore_pipeline.wiring import Timestore

START = datetime(2026, 3, 1, tzinfo=UTC)


def numbers(first: int, count: int = 10) -> pa.Table:
    """`count` rows, one an hour, numbered from `first`."""
    values = list(range(first, first + count))
    instants = [START + timedelta(hours=n) for n in values]
    return pa.table({"ts": pa.array(instants, pa.timestamp("us", "UTC")), "n": values})


def stage(settings: Settings, *firsts: int) -> None:
    """A journal with one batch of ten rows for each number, with the number as its key."""
    with StagingManager.open(settings) as staging:
        for first in firsts:
            staging.enqueue("d", numbers(first), idempotency_key=f"k{first}")


def stage_in_segment(settings: Settings, *firsts: int) -> None:
    """The same, moved into a segment with all else that lies in journals."""
    stage(settings, *firsts)
    roll_up_in(settings)


def flush(settings: Settings) -> None:
    with Timestore(settings) as store:
        store.flush("d", Trigger.MANUAL, "run")


def recovered(settings: Settings, *, replace_shard: bool = False) -> Recovery:
    with Timestore(settings) as store:
        return recover(store.area, store.lake, replace_shard=replace_shard)


def in_lake(settings: Settings) -> list[int]:
    """All numbers that are published, in order, doubles included."""
    with Timestore(settings) as store:
        table = store.lake.table("d")
        return sorted(table.to_arrow_dataset().to_table()["n"].to_pylist()) if table.exists() else []


def problems(settings: Settings) -> Sequence[str]:
    """Codes of everything that is wrong."""
    with Timestore(settings) as store:
        return [problem.code for audit in verify(store.area, store.lake).datasets for problem in audit.problems]


def backup(settings: Settings, target: Path) -> None:
    """A copy of the ledger as a backup at rest makes it: every process is gone, so it is one file."""
    shutil.copy(settings.staging_directory / "ledger.sqlite", target)


def restore(settings: Settings, source: Path) -> None:
    shutil.copy(source, settings.staging_directory / "ledger.sqlite")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.build(home=tmp_path / "home")
