"""A landing folder, files to drop into it, and what is staged of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.doors.landing.intake import Intake
from timestore_pipeline.doors.landing.reports import FileOutcome
from timestore_pipeline.ingest.manager import StagingManager
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore

AT_ONCE = timedelta(0)


def readings(rows: int, first: int = 0) -> pa.Table:
    times = pa.array(range(first, first + rows), pa.int64()).cast(pa.timestamp("s")).cast(pa.timestamp("us", "UTC"))
    return pa.table({"at": times, "n": pa.array(range(first, first + rows), pa.int64())})


def drop(settings: Settings, name: str, rows: pa.Table | bytes, dataset: str = "weather") -> Path:
    """A file in the dataset's landing folder; bytes are written as they are."""
    assert settings.landing_directory is not None
    path = settings.landing_directory / dataset / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(rows, bytes):
        path.write_bytes(rows)
    else:
        pq.write_table(rows, path)
    return path


def folder(settings: Settings, settle: timedelta = AT_ONCE) -> LandingFolder:
    assert settings.landing_directory is not None
    return LandingFolder(settings.landing_directory, settle)


def take_in(settings: Settings) -> list[FileOutcome]:
    """One run over everything that is ready."""
    with StagingManager.open(settings) as staging:
        landing = folder(settings)
        return list(Intake(landing, staging).run(landing.datasets()))


def numbers(settings: Settings, dataset: str = "weather") -> list[int]:
    """Every number that was staged or published, in order, doubles included."""
    with Timestore(settings) as store:
        if store.area.ledger.datasets.find(dataset) is None:
            return []
        while store.flush(dataset, Trigger.MANUAL, "test") is not None:
            pass
        table = store.lake.table(dataset)
        return sorted(table.to_arrow_dataset().to_table()["n"].to_pylist()) if table.exists() else []


def files(settings: Settings, place: str) -> list[str]:
    """Names under a folder of the landing folder."""
    assert settings.landing_directory is not None
    parent = settings.landing_directory / place
    return sorted(str(path.relative_to(parent)) for path in parent.rglob("*") if path.is_file())
