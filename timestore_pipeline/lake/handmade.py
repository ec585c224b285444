"""Commits that deltalake cannot make, as files of the log: an empty table, and a protocol.

Needed for timestamps without zone inside maps. deltalake 1.6 writes the first commit of such a table without the
feature that they require, and cannot read it back; nor does its `alter.add_columns` add the feature. A commit is
linked under its name only once it is complete and on disk, and never over another one, so a race has one winner and a
crash leaves the previous log. A bucket has no such links: there the functions do nothing and return False.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from deltalake import Schema

from timestore_pipeline import clock
from timestore_pipeline.lake.features import protocol_with_feature
from timestore_pipeline.lake.log import Action, DeltaLog
from timestore_pipeline.system import durable


def create_table(log: DeltaLog, schema: Schema, partition_by: Sequence[str]) -> bool:
    """Version 0 of a table with timestamps without zone; False = the table exists, or is in a bucket."""
    metadata = {
        "id": str(uuid.uuid4()),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schema.to_json(),
        "partitionColumns": list(partition_by),
        "configuration": {},
        "createdTime": _now_millis(),
    }
    return _commit(log, 0, "CREATE TABLE", {"protocol": protocol_with_feature()}, {"metaData": metadata})


def add_feature(log: DeltaLog) -> bool:
    """Give the protocol in force the feature that the schema requires; False = nothing was done.

    For a table that cannot be opened without it: only the protocol changes, the rows stay. True as well when another
    process committed the same version first.
    """
    protocol: Action | None = None
    version = 0
    for newest, actions in log.commits():
        protocol = next((action["protocol"] for action in actions if "protocol" in action), protocol)
        version = newest + 1
    complete = None if protocol is None or log.folder is None else protocol_with_feature(protocol)
    if complete is not None:
        _commit(log, version, "ADD FEATURE", {"protocol": complete})
    return complete is not None


def _commit(log: DeltaLog, version: int, operation: str, *actions: dict[str, Any]) -> bool:
    folder = log.folder
    if folder is None:
        return False
    info = {"commitInfo": {"timestamp": _now_millis(), "operation": operation, "engineInfo": "timestore"}}
    lines = [json.dumps(action, ensure_ascii=False) + "\n" for action in (info, *actions)]
    return durable.create(folder / f"{version:020d}.json", "".join(lines).encode())


def _now_millis() -> int:
    return clock.to_micros(clock.now()) // 1000
