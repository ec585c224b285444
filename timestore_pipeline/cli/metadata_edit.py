"""Changing parts of a dataset's metadata: documents merged, dotted keys set and removed. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

from timestore_pipeline.errors import InvalidMetadata
from timestore_pipeline.model.dataset import DatasetMetadata

Document = dict[str, Any]


def merged(metadata: DatasetMetadata, changes: Sequence[str]) -> Document:
    """The metadata with each change on top: a JSON object, or `key.path=value` with a JSON value or plain text.

    Raises `InvalidMetadata` that names the offending key.
    """
    document = _document(metadata)
    for change in changes:
        document = _on_top(document, _document(DatasetMetadata.parse(_parsed(change))))
    return document


def without(metadata: DatasetMetadata, keys: Sequence[str]) -> Document:
    """The metadata without these dotted keys; raises `InvalidMetadata` for one that is not set."""
    document = _document(metadata)
    for key in keys:
        _remove(document, key)
    return document


def _document(metadata: DatasetMetadata) -> Document:
    found: Document = json.loads(metadata.to_json())
    return found


def _parsed(change: str) -> str | Document:
    if change.lstrip().startswith("{"):
        return change
    key, separator, value = change.partition("=")
    if not separator:
        raise InvalidMetadata(
            f"{change!r} is neither a JSON object nor key=value", hint="for example: staging.flush.maxRows=50000"
        )
    document: Any = _value(value)
    for part in reversed(key.split(".")):
        document = {part: document}
    return {**document}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _on_top(low: Mapping[str, Any], high: Mapping[str, Any]) -> Document:
    result = dict(low)
    for key, value in high.items():
        below = result.get(key)
        result[key] = _on_top(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return result


def _remove(document: Document, key: str) -> None:
    *folders, leaf = [to_camel(part) for part in key.split(".")]
    holder: Any = document
    for folder in folders:
        holder = holder.get(folder) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or leaf not in holder:
        raise InvalidMetadata(f"{key} is not set", hint="`timestore datasets show` lists what is set")
    del holder[leaf]
    if not holder and folders:
        _remove(document, ".".join(folders))
