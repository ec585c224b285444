"""Declared types of columns that are published in other types by now: they follow what is published. Pure."""

from __future__ import annotations

import json

import pyarrow as pa

from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.model.declared import type_text


def with_published_types(metadata: DatasetMetadata, published: pa.Schema) -> DatasetMetadata:
    """The metadata, in which no column is declared to have another type than the one it is published in."""
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
