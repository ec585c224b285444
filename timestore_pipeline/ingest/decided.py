"""The decisions of a dataset's first batch, shown to its producer: they hold for every later batch.

The log says when a dataset gets its first timestamps without a time zone in a column.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from timestore_pipeline.ingest.values.notes import Note
from timestore_pipeline.model.canonical import schema_local_paths
from timestore_pipeline.model.declared import type_text
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord

_NO_TIME = (
    "no column holds a time, so nothing dates the rows; if one does, declare it before the first flush:"
    " `timestore datasets set` (schema.columns, time_column)"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decided:
    """Of one input. first: None = the dataset had its columns already."""

    first: Mapping[str, Any] | None = None
    warnings: Sequence[str] = field(default=())

    @classmethod
    def by(cls, before: DatasetRecord | None, after: DatasetRecord | None, notes: Sequence[Note]) -> Decided:
        """before, after: the dataset when the input came, and once it is staged."""
        texts = [note.text for note in notes]
        if after is None or after.schema is None or (before is not None and before.schema is not None):
            return cls(None, texts)
        column = after.time_column
        columns = {field.name: type_text(field.type) for field in after.schema}
        first = {"time_column": column, "granularity": after.granularity, "columns": columns}
        return cls(first, texts if column is not None else [*texts, _NO_TIME])

    def to_dict(self) -> dict[str, Any]:
        """Keys are a contract."""
        return {"decided": None if self.first is None else dict(self.first), "warnings": list(self.warnings)}

    def lines(self) -> list[str]:
        """For people."""
        return [*([] if self.first is None else [self._decision()]), *(f"note: {text}" for text in self.warnings)]

    def _decision(self) -> str:
        assert self.first is not None, "asked by lines()"
        columns = ", ".join(f"{name} {type_}" for name, type_ in self.first["columns"].items())
        column = self.first["time_column"]
        dated = f"dated by {column}, partitioned by {self.first['granularity']}" if column else "without a time column"
        return f"decided by this first batch: {dated}; columns: {columns}"


def warn_of_local_times(dataset: str, before: pa.Schema | None, after: pa.Schema) -> None:
    """Warn of every column that has become one: publishing it costs readers that lack the table feature."""
    known = [] if before is None else schema_local_paths(before)
    for path in schema_local_paths(after):
        if path in known:
            continue
        _log.warning(
            "dataset %s: column %r holds timestamps without a time zone; its table will need the feature timestampNtz,"
            " which old readers lack. schema.localTimestamps = utc reads them as UTC, refuse refuses them",
            dataset,
            path,
        )
