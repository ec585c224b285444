"""How metadata differ, key by key. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from timestore_pipeline.model.metadata_edit import Document


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
    columns_before, columns_after = _columns(before), _columns(after)
    if columns_before != columns_after and sorted(columns_before) == sorted(columns_after):
        yield KeyChange("order of schema.columns", columns_before, columns_after)


def _columns(document: Document) -> list[str]:
    return list(document.get("schema", {}).get("columns", {}))


def _flat(document: Document, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
