"""Which Delta table feature a schema requires: without it in the protocol, no reader can open the table again.

Only one concerns the column types in use here. A timestamp without time zone, at any depth, needs `timestampNtz` for
readers and writers (delta-io/delta, PROTOCOL.md). deltalake 1.6 adds it by itself, but overlooks timestamps in maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from deltalake import Field
from deltalake.schema import ArrayType, MapType, PrimitiveType, StructType
from deltalake.table import ProtocolVersions

FEATURE = "timestampNtz"

_READER, _WRITER = 3, 7  # protocol versions from which on features are listed one by one
_IMPLIED = ("appendOnly", "invariants")  # by writer version 2, with which new tables begin
_LOCAL_TIME = PrimitiveType("timestamp_ntz")


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
