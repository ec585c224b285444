"""What the log says when a dataset gets its first timestamps without a time zone in a column."""

from __future__ import annotations

import logging

import pyarrow as pa

from timestore_pipeline.model.leaves import schema_local_paths

_log = logging.getLogger(__name__)


def tell_of_local_times(dataset: str, before: pa.Schema | None, after: pa.Schema) -> None:
    """Warn of every column that has become one: publishing it costs readers that lack the table feature."""
    known = [] if before is None else schema_local_paths(before)
    for path in schema_local_paths(after):
        if path in known:
            continue
        _log.warning(
            "dataset %s: column %r holds timestamps without a time zone; its table will need the feature timestampNtz,"
            " which old readers lack. schema.localTimestamps = utc takes them for UTC, refuse refuses them",
            dataset,
            path,
        )
