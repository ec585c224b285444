"""Table features: the one that our schemas require, commits that add it, and those that rule out an append.

A schema requires one feature only, without which no reader can open the table again. A timestamp without time zone, at
any depth, needs `timestampNtz` for readers and writers (delta-io/delta, PROTOCOL.md). deltalake 1.6 adds it by itself,
but overlooks timestamps in maps: it writes the first commit of such a table without the feature, and cannot read it
back; nor does its `alter.add_columns` add the feature. So two commits are made here as files of the log: an empty
table, and a protocol. Each is linked under its name only once it is complete and on disk, and never over another one,
so a race has one winner and a crash leaves the previous log. A bucket has no such links: there the functions do nothing
and return False.

A flush adds files as they are. It neither evaluates expressions over their rows nor maps column names, so a table that
requires either is refused before the export: otherwise readers would find rows that its constraints rule out.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from deltalake import DeltaTable, Field, Schema
from deltalake.schema import ArrayType, MapType, PrimitiveType, StructType
from deltalake.table import ProtocolVersions

from timestore_pipeline.errors import UnsupportedTable
from timestore_pipeline.lake.log import DeltaLog
from timestore_pipeline.lake.log_files import Action, now_millis
from timestore_pipeline.system import durable

FEATURE = "timestampNtz"

_READER, _WRITER = 3, 7  # protocol versions from which on features are listed one by one
_IMPLIED = ("appendOnly", "invariants")  # by writer version 2, with which new tables begin
_LOCAL_TIME = PrimitiveType("timestamp_ntz")

# Writer features that need nothing but added files in an append. Those of the second line have demands only where
# settings or columns use them, which `_settings` and `_columns` check.
_HARMLESS = {
    "appendOnly", "changeDataFeed", "deletionVectors", "timestampNtz", "v2Checkpoint", "variantType",
    "invariants", "checkConstraints", "generatedColumns", "columnMapping",
}  # fmt: skip
_CONSTRAINT = "delta.constraints."
_EXPRESSIONS = {"delta.invariants": "an invariant", "delta.generationExpression": "a generated value"}


def local_times(fields: Iterable[Field]) -> list[str]:
    """Paths of the timestamps without zone: "at", "span.begin", "stops[]", "marks{value}"."""
    return [path for field in fields for path in _paths(field.type, field.name)]


def is_overlooked(field: Field) -> bool:
    """Whether deltalake overlooks that the column requires the feature."""
    return any("{" in path.removeprefix(field.name) for path in local_times([field]))


def is_supported(protocol: ProtocolVersions) -> bool:
    return FEATURE in (protocol.reader_features or ()) and FEATURE in (protocol.writer_features or ())


def protocol_with_feature(protocol: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """The protocol with the feature added; None when a version between the first and the last is in force.

    protocol: None = that of a new table.
    """
    current = protocol or {"minReaderVersion": 1, "minWriterVersion": 2}
    versions = current["minReaderVersion"], current["minWriterVersion"]
    if versions[0] not in (1, _READER) or versions[1] not in (1, 2, _WRITER):
        return None
    implied = _IMPLIED if versions[1] == 2 else ()
    return {
        "minReaderVersion": _READER,
        "minWriterVersion": _WRITER,
        "readerFeatures": sorted({*current.get("readerFeatures", ()), FEATURE}),
        "writerFeatures": sorted({*current.get("writerFeatures", ()), *implied, FEATURE}),
    }


def _paths(kind: Any, path: str) -> Iterator[str]:
    if kind == _LOCAL_TIME:
        yield path
    elif isinstance(kind, StructType):
        for field in kind.fields:
            yield from _paths(field.type, f"{path}.{field.name}")
    elif isinstance(kind, ArrayType):
        yield from _paths(kind.element_type, f"{path}[]")
    elif isinstance(kind, MapType):
        yield from _paths(kind.key_type, f"{path}{{key}}")
        yield from _paths(kind.value_type, f"{path}{{value}}")


def create_table(log: DeltaLog, schema: Schema, partition_by: Sequence[str]) -> bool:
    """Version 0 of a table with timestamps without zone; False = the table exists, or is in a bucket."""
    metadata = {
        "id": str(uuid.uuid4()),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schema.to_json(),
        "partitionColumns": list(partition_by),
        "configuration": {},
        "createdTime": now_millis(),
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
    info = {"commitInfo": {"timestamp": now_millis(), "operation": operation, "engineInfo": "timestore"}}
    lines = [json.dumps(action, ensure_ascii=False) + "\n" for action in (info, *actions)]
    return durable.create(folder / f"{version:020d}.json", "".join(lines).encode())


def check_writable(table: DeltaTable) -> None:
    """Raise `UnsupportedTable` that lists every demand that flushes cannot satisfy."""
    if demands := [*_features(table), *_settings(table.metadata().configuration), *_columns(table.schema().fields)]:
        raise UnsupportedTable(
            f"the table {table.table_uri} has {', '.join(demands)}, which flushes cannot satisfy",
            hint="remove it from the table with the tool that added it, or publish elsewhere (TIMESTORE_LAKE_URI);"
            " staged rows stay staged",
        )


def _features(table: DeltaTable) -> Iterator[str]:
    yield from (f"the feature {name}" for name in sorted(set(table.protocol().writer_features or ()) - _HARMLESS))


def _settings(configuration: dict[str, str]) -> Iterator[str]:
    mode = configuration.get("delta.columnMapping.mode", "none")
    if mode != "none":
        yield f"column mapping by {mode}"
    for key, expression in sorted(configuration.items()):
        if key.startswith(_CONSTRAINT):
            yield f"the constraint {key.removeprefix(_CONSTRAINT)} ({expression})"


def _columns(fields: list[Field]) -> Iterator[str]:
    for field in fields:
        if not field.nullable:
            yield f"NOT NULL on column {field.name!r}"
        for key, kind in _EXPRESSIONS.items():
            if key in field.metadata:
                yield f"{kind} for column {field.name!r}"
