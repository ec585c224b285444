"""Text written to a file and read as `timestore ingest` reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from timestore_pipeline.ingest.formats.reading import UNKNOWN, Reading
from timestore_pipeline.ingest.formats.sources import open_source
from timestore_pipeline.model.dataset import DatasetMetadata


def read(path: Path, content: str | bytes, reading: Reading = UNKNOWN) -> pa.Table:
    """All rows of a file of this content."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return pa.concat_tables(table for _, table in open_source(path, reading).batches(1_000))


def said(**metadata: Any) -> Reading:
    """A dataset of which nothing is known but its metadata."""
    return Reading(metadata=DatasetMetadata.parse(metadata))


def declared(**columns: str) -> Reading:
    return said(schema={"columns": columns})


def known(**columns: pa.DataType) -> Reading:
    """A dataset that has these columns, none of them declared."""
    return Reading(pa.schema(list(columns.items())))
