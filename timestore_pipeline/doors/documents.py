"""JSON documents, in one shape for the command line's `--json` and for the HTTP API. Keys are a contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from timestore_pipeline.flush.dataset_status import DatasetStatus
from timestore_pipeline.model.batch import Receipt, Volume
from timestore_pipeline.model.lake import layout_sentence
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore


def status_document(shard: str, statuses: Sequence[DatasetStatus]) -> dict[str, Any]:
    """As `timestore status --json` prints it, with one or several datasets."""
    return {"shard": shard, "datasets": [_status(status) for status in statuses]}


def dataset_document(store: Timestore, record: DatasetRecord) -> dict[str, Any]:
    """A dataset's metadata and the values derived from it, as `timestore datasets show --json` prints it."""
    from timestore_pipeline.model.canonical import waiting_leaves
    from timestore_pipeline.model.schema_json import schema_to_json  # here: a status must not import pyarrow

    settings = store.flush_settings(record.name)
    return {
        "dataset": record.name,
        "metadata": json.loads(record.metadata.to_json()),
        "thresholds": settings.thresholds.to_dict(),
        "files": {**asdict(settings.parquet), "sort_by": list(settings.sort_by)},
        "time_column": record.time_column,
        "granularity": record.granularity,
        "layout": layout_of(record),
        "schema": None if record.schema is None else json.loads(schema_to_json(record.schema)),
        "declared": dict(record.metadata.schema_.columns),
        "declared_in": {
            source: {"at": at.isoformat(), "keys": keys} for source, at, keys in declared_in(store, record)
        },
        "waiting": [] if record.schema is None else waiting_leaves(record.schema),
        "settled_as_text": store.area.ledger.schema_changes.settled_as_text(record.name),
        "paused": record.paused,
        "last_epoch": record.last_epoch,
        "created_at": record.created_at.isoformat(),
    }


def layout_of(record: DatasetRecord) -> str:
    """How the dataset is laid out, and why."""
    named, staged = record.metadata.time_column, record.schema is not None
    return layout_sentence(record.time_column, record.granularity, named, staged=staged)


def declared_in(store: Timestore, record: DatasetRecord) -> list[tuple[str, datetime, list[str]]]:
    """The code locations that declare the dataset, when they last said so, and the keys that they set."""
    from timestore_pipeline.model.metadata_edit import keys_of  # here: a status must not import pyarrow

    noted = store.area.ledger.declarations.noted()
    return [
        (source, one.at, keys_of(one.datasets[record.name]))
        for source, one in noted.items()
        if record.name in one.datasets
    ]


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """Proof that a batch is durable."""
    return {
        "batch_id": receipt.batch_id,
        "dataset": receipt.dataset,
        "rows": receipt.rows,
        "bytes": receipt.bytes,
        "staged_at": receipt.staged_at.isoformat(),
        "duplicate": receipt.duplicate,
    }


def _status(status: DatasetStatus) -> dict[str, Any]:
    backlog = status.backlog
    return {
        "dataset": backlog.dataset,
        "pending": volume_document(backlog.pending),
        "in_flight": volume_document(backlog.in_flight),
        "quarantined": volume_document(backlog.quarantined),
        "oldest_age_seconds": backlog.oldest_age(clock.now()).total_seconds(),
        "disk_bytes": backlog.disk_bytes,
        "thresholds": status.thresholds.to_dict(),
        "due": status.decision.due,
        "reason": status.decision.reason,
        "paused": backlog.paused,
    }


def volume_document(volume: Volume) -> dict[str, int]:
    """An amount of batches."""
    return {"batches": volume.batches, "rows": volume.rows, "bytes": volume.bytes}
