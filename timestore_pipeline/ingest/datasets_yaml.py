"""Datasets as one YAML file: the metadata of each dataset by its name, read and written.

    datasets:
      weather:
        owners: [team:meteorology]
        staging: {flush: {maxRows: 50000, sortBy: [station]}}

Reading is strict, because YAML is not: a key that is there twice, or one that YAML takes for something other than text
(`no`, `2024`), is refused with its place. Nothing of the ledger is read or changed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from timestore_pipeline.errors import InvalidDatasetName, InvalidMetadata
from timestore_pipeline.model.dataset import DatasetMetadata, check_dataset_name
from timestore_pipeline.model.metadata_edit import Document, document_of
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord

_TOP = "datasets"
_MOST_VALUES = 1_000_000  # with what aliases repeat: thirty lines can stand for more than memory holds
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")


def read_datasets(text: str, source: str) -> dict[str, Document]:
    """Name -> the metadata in the file, unchanged. source: the file, for messages.

    Raises `InvalidMetadata` for text that is no such file, and for the first name that no dataset can have.
    """
    document = _parsed(text, source)
    if _has_too_many(document):
        raise _refused(f"{source} holds more than {_MOST_VALUES} values", "write less, or repeat fewer anchors")
    if not isinstance(document, dict) or list(document) != [_TOP]:
        found = f", not {', '.join(map(repr, document))}" if isinstance(document, dict) and document else ""
        raise _refused(f"{source} has the one key {_TOP!r} at its top{found}", "`timestore datasets export` shows one")
    datasets = document[_TOP] or {}
    if not isinstance(datasets, dict):
        raise _refused(
            f"{source}: {_TOP} maps the names of datasets to their metadata", "a name, a colon, and indented keys"
        )
    for name, metadata in datasets.items():
        _check_entry(name, metadata, source)
    return {name: metadata or {} for name, metadata in datasets.items()}


def datasets_document(records: Iterable[DatasetRecord]) -> Document:
    """What the file holds; a dataset without metadata is `{}`."""
    return {_TOP: {record.name: document_of(record.metadata) for record in records}}


def datasets_text(document: Document) -> str:
    """The file; reading it back gives the same metadata."""
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return text


def file_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the file, for editors; `null` is allowed everywhere, because it unsets."""
    metadata = DatasetMetadata.model_json_schema(by_alias=True)
    definitions = metadata.pop("$defs")
    for section in (metadata, *definitions.values()):
        for name, field in section.get("properties", {}).items():
            section["properties"][name] = _or_null(field)
    columns = definitions["SchemaSpec"]["properties"]["columns"]
    columns["anyOf"][0]["additionalProperties"] = {"type": ["string", "null"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Datasets of timestore",
        "type": "object",
        "properties": {_TOP: {"type": "object", "additionalProperties": {"anyOf": [metadata, {"type": "null"}]}}},
        "required": [_TOP],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _or_null(field: Mapping[str, Any]) -> dict[str, Any]:
    options = field.get("anyOf", [{key: value for key, value in field.items() if key not in ("default", "title")}])
    return {"anyOf": [*(option for option in options if option != {"type": "null"}), {"type": "null"}]}


def _check_entry(name: object, metadata: object, source: str) -> None:
    try:
        check_dataset_name(str(name))
    except InvalidDatasetName as error:
        raise InvalidMetadata(f"{source}: {error}", hint=error.hint) from None
    if not isinstance(metadata, dict | None):
        raise InvalidMetadata(
            f"{source}: {name} does not hold keys with values", dataset=str(name), hint="indent its keys below it"
        )


def _parsed(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Strict)  # a SafeLoader
    except RecursionError:
        raise _refused(f"{source} is nested too deeply", "it needs five levels") from None
    except (yaml.YAMLError, ValueError) as error:  # a date in the 14th month, a number of 5,000 digits
        raise _refused(
            f"{source} cannot be read: {' '.join(str(error).split())}", "correct the place it names"
        ) from None


def _has_too_many(document: Any) -> bool:
    waiting, found = [document], 0
    while waiting and found <= _MOST_VALUES:
        value = waiting.pop()
        found += 1
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(waiting)


def _refused(message: str, hint: str) -> InvalidMetadata:
    return InvalidMetadata(message, hint=hint)


class _Strict(yaml.SafeLoader):  # type: ignore[misc]  # it ships no types
    """Refuses duplicate keys, of which YAML would keep the last, keys that are not text, and odd numbers."""


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, str):
            problem = f"YAML reads the key {key_node.value} as {key!r}; quote it to make it text"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        if key in found:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _number(loader: _Strict, node: yaml.ScalarNode) -> Any:
    found = loader.construct_yaml_int(node)
    if _DECIMAL.fullmatch(node.value) is None:
        problem = f"YAML reads the number {node.value} as {found}; write it in decimal digits alone"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return found


_Strict.add_constructor("tag:yaml.org,2002:int", _number)
_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
