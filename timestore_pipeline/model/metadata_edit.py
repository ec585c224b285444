"""Changing parts of a dataset's metadata, and how two versions differ, key by key. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic.alias_generators import to_camel

from timestore_pipeline.errors import InvalidMetadata
from timestore_pipeline.model.dataset import DatasetMetadata, key_twice
from timestore_pipeline.model.declared import type_text
from timestore_pipeline.model.unique_keys import KeyTwice, unique_keys

Document = dict[str, Any]

_COLUMNS = ("schema", "columns")  # whose keys are names of columns, not words of ours


def document_of(metadata: DatasetMetadata) -> Document:
    """What was set, in camelCase; a key that was set to its default by `null` is left out."""
    found: Document = json.loads(metadata.to_json())
    return without_nulls(found)


def without_nulls(document: Document) -> Document:
    """Also without sections that are empty then."""
    found: Document = {}
    for key, value in document.items():
        kept = without_nulls(value) if isinstance(value, dict) else value
        if kept is not None and (kept != {} or value == {}):
            found[key] = kept
    return found


def keys_of(said: Document) -> list[str]:
    """The dotted keys that a document sets, in camelCase."""
    return [key for key, _ in _flat(document_of(DatasetMetadata.parse(without_nulls(said))))]


def merged(metadata: DatasetMetadata, changes: Sequence[str]) -> Document:
    """The metadata with each change on top: a JSON object, or `key.path=value` with a JSON value or plain text.

    An object may be what `timestore datasets show --json` prints. Raises `InvalidMetadata` that names the offending
    key.
    """
    document = _document(metadata)
    for change in changes:
        document = _on_top(document, _document(DatasetMetadata.parse(_parsed(change))))
    return document


def declared_on_top(metadata: DatasetMetadata, said: Document) -> Document:
    """The metadata with a document on top, in which `null` unsets a key; columns in the order of the document.

    Raises `InvalidMetadata` that names the offending key.
    """
    values = without_nulls(said)
    document = _on_top(document_of(metadata), _document(DatasetMetadata.parse(values)))
    for path in _nulls(said):
        _discard(document, path)
    return _in_order(document, said)


def without(metadata: DatasetMetadata, keys: Sequence[str]) -> Document:
    """The metadata without these dotted keys; raises `InvalidMetadata` for one that is not set."""
    document = _document(metadata)
    for key in keys:
        if not _discard(document, tuple(key.split("."))):
            raise InvalidMetadata(f"{key} is not set", hint="`timestore datasets show` lists what is set")
    return document


def _document(metadata: DatasetMetadata) -> Document:
    found: Document = json.loads(metadata.to_json())
    return found


def _parsed(change: str) -> str | Document:
    if change.lstrip().startswith("{"):
        return _shown(change)
    key, separator, value = change.partition("=")
    if not separator:
        raise InvalidMetadata(
            f"{change!r} is neither a JSON object nor key=value", hint="for example: staging.flush.maxRows=50000"
        )
    document: Any = _value(value)
    for part in reversed(key.split(".")):
        document = {part: document}
    return {**document}


def _shown(text: str) -> str | Document:
    """The metadata in what `datasets show --json` prints; other text as it is."""
    found = _value(text)
    if isinstance(found, dict) and isinstance(found.get("metadata"), dict) and "dataset" in found:
        return {**found["metadata"]}
    return text


def _value(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except KeyTwice as error:
        raise key_twice(error) from None
    except (ValueError, RecursionError):
        return text


def _on_top(low: Mapping[str, Any], high: Mapping[str, Any]) -> Document:
    result = dict(low)
    for key, value in high.items():
        below = result.get(key)
        result[key] = _on_top(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return result


def _nulls(document: Document, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in document.items():
        if value is None:
            yield (*above, key)
        elif isinstance(value, dict):
            yield from _nulls(value, (*above, key))


def _discard(document: Document, path: tuple[str, ...], above: tuple[str, ...] = ()) -> bool:
    """Remove a key, and the sections that are empty then; False = it is not set. A column may have dots in its name."""
    if above == _COLUMNS:
        return document.pop(".".join(path), _COLUMNS) is not _COLUMNS
    key, *rest = path
    key = to_camel(key)
    if not rest:
        return document.pop(key, _COLUMNS) is not _COLUMNS
    section = document.get(key)
    if not isinstance(section, dict) or not _discard(section, tuple(rest), (*above, key)):
        return False
    if not section:
        del document[key]
    return True


def _in_order(document: Document, said: Document) -> Document:
    """Columns as the document has them, the others after them: without a header, CSV columns have that order."""
    first = (said.get("schema") or {}).get("columns") or {}
    known = document.get("schema", {}).get("columns", {})
    if known:
        document["schema"]["columns"] = {name: known[name] for name in dict.fromkeys([*first, *known]) if name in known}
    return document


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key; None = it is not set."""

    key: str  # dotted, such as staging.flush.maxRows
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class DatasetChange:
    """What becomes of one dataset."""

    dataset: str
    new: bool  # it was unknown, or removed
    keys: tuple[KeyChange, ...]

    def __bool__(self) -> bool:
        return self.new or bool(self.keys)

    def to_dict(self) -> dict[str, Any]:
        changes = [{"key": one.key, "before": one.before, "after": one.after} for one in self.keys]
        return {"dataset": self.dataset, "new": self.new, "changes": changes}


def changed_keys(before: Document, after: Document) -> Iterator[KeyChange]:
    """In the order of the documents, those that remain first; neither holds nulls."""
    flat_before, flat_after = dict(_flat(before)), dict(_flat(after))
    for key in dict.fromkeys([*flat_after, *flat_before]):
        if flat_before.get(key) != flat_after.get(key):
            yield KeyChange(key, flat_before.get(key), flat_after.get(key))
    columns_before, columns_after = _column_names(before), _column_names(after)
    if columns_before != columns_after and sorted(columns_before) == sorted(columns_after):
        yield KeyChange("order of schema.columns", columns_before, columns_after)


def _column_names(document: Document) -> list[str]:
    return list(document.get("schema", {}).get("columns", {}))


def _flat(document: Document, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def with_published_types(metadata: DatasetMetadata, published: pa.Schema) -> DatasetMetadata:
    """The metadata, with the published type in place of a declared type that differs from it."""
    types = {field.name.casefold(): field.type for field in published}
    changed = {
        name: type_text(types[name.casefold()])
        for name, declared in metadata.schema_.declared.items()
        if types.get(name.casefold(), declared.type) != declared.type
    }
    if not changed:
        return metadata
    document = json.loads(metadata.to_json())
    document["schema"]["columns"] |= changed
    return DatasetMetadata.parse(document)
