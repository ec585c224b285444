"""The column rules in one import: canonical types, evolution, SQL spelling and stored form of a dataset's schema."""

from __future__ import annotations

import pyarrow as pa

from timestore_pipeline.model.canonical import (
    DURATION,
    TIME,
    TIMESTAMP,
    TIMESTAMP_UTC,
    canonical_schema,
    canonical_type,
    stored_schema,
    stored_type,
)
from timestore_pipeline.model.evolution import check_castable, evolve
from timestore_pipeline.model.schema_json import schema_from_json, schema_to_json
from timestore_pipeline.model.sql_types import duckdb_type, quote

__all__ = [
    "DURATION",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_UTC",
    "canonical_schema",
    "canonical_type",
    "check_castable",
    "default_time_column",
    "duckdb_type",
    "evolve",
    "quote",
    "schema_from_json",
    "schema_to_json",
    "stored_schema",
    "stored_type",
]


def default_time_column(schema: pa.Schema) -> str | None:
    """The first timestamp or date column: the time column of a dataset that names no other. None = there is none."""
    return next((f.name for f in schema if pa.types.is_timestamp(f.type) or pa.types.is_date(f.type)), None)
