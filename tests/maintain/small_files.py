"""Tables of many small files, their rows, and helpers for maintenance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from timestore_pipeline.maintain.dataset_maintenance import maintain
from timestore_pipeline.maintain.maintenance_report import DatasetUpkeep
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.recovery.shard_audit import verify
from timestore_pipeline.wiring import Timestore

DAY = timedelta(days=1)
AT_ONCE = timedelta(0)


class Space(NamedTuple):
    """As `shutil.disk_usage` answers, in bytes."""

    total: int
    used: int
    free: int


def rows(number: int, **more: Sequence[Any]) -> pa.Table:
    """Ten rows of two days, in no order."""
    times = [datetime(2013, 1, 1 + n % 2, tzinfo=UTC) + timedelta(minutes=(n * 7 + number) % 50) for n in range(10)]
    columns = {"at": pa.array(times, pa.timestamp("us", "UTC")), "n": [number * 10 + n for n in range(10)]}
    return pa.table({**columns, **more})


def publish(store: Timestore, number: int, data: pa.Table | None = None) -> None:
    with store.staging() as staging:
        staging.enqueue("weather", rows(number) if data is None else data)
    assert store.flush("weather", Trigger.MANUAL, "test") is not None


def maintained(store: Timestore, dataset: str = "weather", **options: Any) -> DatasetUpkeep:
    [done] = maintain(store.area, store.lake, [dataset], store.maintain_options(**options))
    return done


def content(store: Timestore) -> list[dict[str, Any]]:
    """Every published row, in an order that does not depend on the files."""
    table = store.lake.table("weather").to_arrow_dataset().to_table()
    return sorted(table.to_pylist(), key=repr)


def live(store: Timestore) -> list[Path]:
    table = store.lake.table("weather")
    return sorted(Path(table.uri) / file.path for file in table.live_files())


def stored(store: Timestore) -> list[Path]:
    table = store.lake.table("weather")
    return sorted(Path(table.uri) / file.path for file in table.stored_files())


def books(store: Timestore) -> tuple[list[str], list[str]]:
    """Codes of problems and of warnings."""
    [audit] = verify(store.area, store.lake, ["weather"]).datasets
    return [problem.code for problem in audit.problems], [warning.code for warning in audit.warnings]
