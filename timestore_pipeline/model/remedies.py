"""Remedies for data that do not fit a column: the command that declares the type, or that rewrites the table."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pyarrow as pa

from timestore_pipeline.model.declared import type_text
from timestore_pipeline.model.widening import spelt_exactly

if TYPE_CHECKING:
    from timestore_pipeline.model.evolution import Rules


def declare(dataset: str, column: str, type_: str) -> str:
    """The command that declares a column's type."""
    document = json.dumps({"schema": {"columns": {column: type_}}}, ensure_ascii=False)
    return f"timestore datasets set {dataset} {shlex.quote(document)}"


def publish_first(dataset: str) -> str:
    """The remedy where every value has to be examined."""
    return f"publish the staged rows (`timestore flush {dataset} --now`), then see `timestore datasets retype`"


def retype(dataset: str, column: str, type_: str) -> str:
    """The command that gives a published column another type."""
    return f"timestore datasets retype {dataset} {shlex.quote(column)} {shlex.quote(type_)}"


def remedy_for(
    existing: pa.DataType, incoming: pa.DataType, wanted: pa.DataType | None, column: str, rules: Rules
) -> str:
    """wanted: the type that would hold both, None = there is none."""
    t = pa.types
    if wanted is not None:
        return f"`{retype(rules.dataset, column, type_text(wanted))}` gives the published column that type"
    if t.is_time(existing) or t.is_duration(existing):
        kind = type_text(existing)
        return f"send a {kind}; or take integers for microseconds: `{declare(rules.dataset, column, kind)}`"
    if t.is_timestamp(existing):
        zone = "instants with a time zone" if existing.tz else "local times without a time zone"
        return f"say which is meant: send {zone}" if t.is_timestamp(incoming) else f"send {zone}, typed as timestamps"
    if t.is_string(existing) and column not in rules.declared:
        return f"send text; or take numbers as they are written: `{declare(rules.dataset, column, 'string')}`"
    command = declare if rules.widens else retype
    if spelt_exactly(pa.string(), existing):
        return f"send {existing}, or make the column text: `{command(rules.dataset, column, 'string')}`"
    return f"convert the column to {existing}, or send it under another name"
