"""Declared types follow the published types of their columns. Pure."""

from __future__ import annotations

import json

import pyarrow as pa

from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.model.declared import type_text


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
