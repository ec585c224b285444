"""What somebody else has made of a table that an append of ours would break: looked for before anything is exported.

A flush adds files as they are. It neither evaluates expressions over their rows nor knows other names for columns, so a
table that demands it is refused, lest readers find rows that the table says cannot be there.
"""

from __future__ import annotations

from collections.abc import Iterator

from deltalake import DeltaTable, Field

from timestore_pipeline.errors import UnsupportedTable

# Writer features under which adding files is all there is to an append; the others are looked for in what they concern.
_HARMLESS = {
    "appendOnly", "changeDataFeed", "deletionVectors", "timestampNtz", "v2Checkpoint", "variantType",
    "invariants", "checkConstraints", "generatedColumns", "columnMapping",
}  # fmt: skip

_CONSTRAINT = "delta.constraints."
_EXPRESSIONS = {"delta.invariants": "an invariant", "delta.generationExpression": "a generated value"}


def check_writable(table: DeltaTable) -> None:
    """Raise `UnsupportedTable` with everything that is in the way."""
    if demands := [*_features(table), *_settings(table.metadata().configuration), *_columns(table.schema().fields)]:
        raise UnsupportedTable(
            f"the table {table.table_uri} has {', '.join(demands)}, which flushes cannot keep to",
            hint="take it off the table with the tool that put it there, or publish elsewhere (TIMESTORE_LAKE_URI);"
            " what is staged stays staged",
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
        for key, what in _EXPRESSIONS.items():
            if key in field.metadata:
                yield f"{what} for column {field.name!r}"
