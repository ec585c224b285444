"""Trees of Parquet files as direct writers leave them, and what an import makes of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from timestore_pipeline.doors.legacy.importing import Import, Imported, ImportJournal
from timestore_pipeline.doors.legacy.tree import LegacyTree
from timestore_pipeline.ingest.whole_file import open_staging
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.settings import Settings
from timestore_pipeline.wiring import Timestore


def numbered(rows: int, first: int = 0) -> pa.Table:
    times = pa.array(range(first, first + rows), pa.int64()).cast(pa.timestamp("s")).cast(pa.timestamp("us", "UTC"))
    return pa.table({"at": times, "n": pa.array(range(first, first + rows), pa.int32())})


def write(path: Path, rows: int, first: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(numbered(rows, first), path)
    return path


def import_tree(settings: Settings, root: Path, *, delete: bool = False) -> list[Imported]:
    journal = ImportJournal(settings.staging_directory, "weather")
    with open_staging(settings) as staging:
        tree = LegacyTree.at(str(root), {})
        return list(Import(staging, "weather", tree, journal, settings.staging_directory / "spool", delete).run())


def published(settings: Settings) -> pa.Table:
    """Everything that was staged, after flushing it."""
    with Timestore(settings) as store:
        while store.flush("weather", Trigger.MANUAL, "test") is not None:
            pass
        return store.lake.table("weather").to_arrow_dataset().to_table().sort_by("n")


def numbers(settings: Settings) -> list[int]:
    found: list[int] = published(settings)["n"].to_pylist()
    return found
