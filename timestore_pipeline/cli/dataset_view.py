"""A dataset as `timestore datasets` shows it: one line in a list, or every field."""

from __future__ import annotations

import json
from typing import Any

from timestore_pipeline.cli.wording import duration, instant, limit
from timestore_pipeline.doors.documents import layout_of
from timestore_pipeline.model.flush_settings import FlushSettings
from timestore_pipeline.model.limits import FlushThresholds
from timestore_pipeline.model.local_times import schema_local_paths
from timestore_pipeline.model.schema_json import schema_to_json
from timestore_pipeline.model.waiting import waiting_leaves
from timestore_pipeline.staging.ledger.datasets import DatasetRecord
from timestore_pipeline.wiring import Timestore


def row(store: Timestore, record: DatasetRecord) -> tuple[str, ...]:
    limits = store.flush_settings(record.name).thresholds
    layout = (record.time_column or "-", str(record.granularity or "-"))
    amounts = (limit(limits.max_rows), limit(limits.max_bytes), _age(limits))
    paused = "yes" if record.paused else "no"
    return (record.name, *layout, *amounts, paused, str(record.last_epoch), instant(record.created_at))


def fields(store: Timestore, record: DatasetRecord) -> dict[str, str]:
    """Name -> text, in the order in which they are printed."""
    settings = store.flush_settings(record.name)
    columns = json.loads(schema_to_json(record.schema))["columns"] if record.schema is not None else []
    declared = record.metadata.schema_.columns
    waiting = [] if record.schema is None else waiting_leaves(record.schema)
    settled = store.area.ledger.schema_changes.settled_as_text(record.name)
    shown = {
        "dataset": record.name,
        "metadata": record.metadata.to_json(),
        "thresholds": _thresholds(settings.thresholds),
        "files": _files(settings, record.time_column),
        "time column": record.time_column or "-",
        "partition": str(record.granularity or "-"),
        "layout": layout_of(record),
        "columns": ", ".join(f"{c['name']} {_type_name(c['type'])}" for c in columns) or "-",
        "declared": ", ".join(f"{name} {text}" for name, text in declared.items()) or "-",
        "type waits": ", ".join(waiting) or "-",
        "paused": "yes" if record.paused else "no",
        "last epoch": str(record.last_epoch),
        "created": instant(record.created_at),
    }
    if local := [] if record.schema is None else schema_local_paths(record.schema):
        shown["readers need"] = f"the table feature timestampNtz, for times without a zone: {', '.join(local)}"
    if settled:
        shown["published as text"] = f"{', '.join(settled)}: only empty until then; see `timestore datasets retype`"
    return shown


def _thresholds(limits: FlushThresholds) -> str:
    return f"rows {limit(limits.max_rows)}, bytes {limit(limits.max_bytes)}, age {_age(limits)}"


def _files(settings: FlushSettings, time_column: str | None) -> str:
    parquet = settings.parquet
    codec = f"{parquet.compression} {parquet.compression_level}" if parquet.compression_level else parquet.compression
    order = ", ".join(dict.fromkeys([*settings.sort_by, *filter(None, [time_column])])) or "arrival"
    return f"{codec}, row groups of {parquet.row_group_size:,} rows, sorted by {order}"


def _age(limits: FlushThresholds) -> str:
    return duration(limits.max_age) if limits.max_age else "off"


def _type_name(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)
