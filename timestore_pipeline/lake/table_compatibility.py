"""Features and constraints of other tools that an append would violate: checked before the export.

A flush adds files as they are. It neither evaluates expressions over their rows nor maps column names, so a table that
requires either is refused: otherwise readers would find rows that the table's constraints rule out.
"""

from __future__ import annotations

from collections.abc import Iterator

from deltalake import DeltaTable, Field

from timestore_pipeline.errors import UnsupportedTable

# Writer features that need nothing but added files in an append. Those of the second line have demands only where
# settings or columns use them, which `_settings` and `_columns` check.
_HARMLESS = {
    "appendOnly", "changeDataFeed", "deletionVectors", "timestampNtz", "v2Checkpoint", "variantType",
    "invariants", "checkConstraints", "generatedColumns", "columnMapping",
}  # fmt: skip

_CONSTRAINT = "delta.constraints."
_EXPRESSIONS = {"delta.invariants": "an invariant", "delta.generationExpression": "a generated value"}


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
