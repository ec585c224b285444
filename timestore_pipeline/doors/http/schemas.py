"""JSON Schemas of the API's requests and answers; tests validate a real server's answers against them."""

from __future__ import annotations

from typing import Any

from timestore_pipeline.doors.http.flushing import Outcome
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.wiring import FlushRequestResult

Schema = dict[str, Any]

DATASET_NAME: Schema = {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,119}$"}
_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_INSTANT: Schema = {"type": "string", "format": "date-time"}


def components() -> dict[str, Schema]:
    """By component name."""
    return {
        "Receipt": _receipt(),
        "FlushRequest": _closed(
            dataset=DATASET_NAME, outcome={"enum": [outcome.value for outcome in FlushRequestResult]}
        ),
        "Flush": {"anyOf": [reference("FlushRequest"), reference("Flushes")]},
        "Flushes": _flushes(),
        "Status": _closed(shard=_TEXT, datasets={"type": "array", "items": reference("DatasetStatus")}),
        "DatasetStatus": _dataset_status(),
        "Volume": _closed(batches=_COUNT, rows=_COUNT, bytes=_COUNT),
        "Thresholds": _closed(max_rows=_COUNT, max_bytes=_COUNT, max_age_ms=_COUNT),
        "Dataset": _dataset(),
        "Metadata": _metadata(),
        "Probe": _closed(status=_TEXT),
        "Description": {"type": "object", "required": ["openapi", "info", "paths"]},
        "Problem": _problem(),
    }


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_BOOLEAN: Schema = {"type": "boolean"}
_GRANULARITY_OR_NULL: Schema = {"enum": ["hour", "day", "month", "none", None]}


def _closed(**properties: Schema) -> Schema:
    """An object with exactly these keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


def _receipt() -> Schema:
    decided = _closed(
        time_column=_TEXT_OR_NULL,
        granularity=_GRANULARITY_OR_NULL,
        columns={"type": "object", "additionalProperties": _TEXT, "description": "Types as they are declared."},
    )
    return _closed(
        batch_id=_TEXT | {"description": "Empty: there was nothing to stage."},
        dataset=DATASET_NAME,
        rows=_COUNT,
        bytes=_COUNT,
        staged_at=_INSTANT,
        duplicate=_BOOLEAN,
        decided={"anyOf": [decided, {"type": "null"}], "description": "By a dataset's first batch, for all others."},
        warnings={"type": "array", "items": _TEXT},
    )


def _flushes() -> Schema:
    one = _closed(
        dataset=DATASET_NAME,
        outcome={"enum": [outcome.value for outcome in Outcome]},
        waiting=reference("Volume") | {"description": "Pending or in flight."},
        quarantined=reference("Volume") | {"description": "Not published by any flush."},
        reason=_TEXT,
    )
    return _closed(
        done=_BOOLEAN,
        sensor_late=_BOOLEAN | {"description": "No flush sensor ticks, so that no flush begins."},
        hint=_TEXT,
        datasets={"type": "array", "items": one},
    )


def _dataset_status() -> Schema:
    volumes = {name: reference("Volume") for name in ("pending", "in_flight", "quarantined")}
    return _closed(
        dataset=DATASET_NAME,
        **volumes,
        oldest_age_seconds={"type": "number", "description": "Of what is pending or in flight; 0 = nothing is."},
        disk_bytes=_COUNT,
        thresholds=reference("Thresholds"),
        due=_BOOLEAN,
        reason=_TEXT,
        paused=_BOOLEAN,
    )


def _dataset() -> Schema:
    return _closed(
        dataset=DATASET_NAME,
        metadata=reference("Metadata"),
        thresholds=reference("Thresholds"),
        files=_files(),
        time_column=_TEXT_OR_NULL,
        granularity=_GRANULARITY_OR_NULL,
        layout=_TEXT,
        schema={"type": ["object", "null"]},
        declared={"type": "object", "additionalProperties": _TEXT},
        declared_in={
            "type": "object",
            "additionalProperties": _closed(at=_INSTANT, keys={"type": "array", "items": _TEXT}),
        },
        waiting={"type": "array", "items": _TEXT},
        settled_as_text={"type": "array", "items": _TEXT},
        paused=_BOOLEAN,
        last_epoch=_COUNT,
        created_at=_INSTANT,
    )


def _files() -> Schema:
    """How flushes and compactions write the dataset's files, defaults included."""
    return _closed(
        compression=_TEXT,
        compression_level=_COUNT | {"description": "Of zstd; 0 = the codec's own default."},
        row_group_size=_COUNT,
        sort_by={"type": "array", "items": _TEXT, "description": "Columns before time."},
    )


def _metadata() -> Schema:
    """Sections are inlined: pydantic's own references would have no target in this document."""
    schema = DatasetMetadata.model_json_schema(by_alias=True)
    sections = schema.pop("$defs")
    inlined: Schema = _inlined(schema, sections)
    inlined["description"] = "Keys may be written in snake_case, too. What is left out takes its default."
    return inlined


def _inlined(value: Any, sections: dict[str, Schema]) -> Any:
    if isinstance(value, list):
        return [_inlined(inner, sections) for inner in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _inlined(sections[value["$ref"].rpartition("/")[2]], sections)
    return {key: _inlined(inner, sections) for key, inner in value.items() if key != "title" or isinstance(inner, dict)}


def _problem() -> Schema:
    problem = _closed(
        type=_TEXT,
        title=_TEXT,
        status={"type": "integer", "minimum": 400, "maximum": 599},
        code=_TEXT | {"description": "Stable; what a program decides by."},
        detail=_TEXT,
        hint=_TEXT | {"description": "What to do next."},
        dataset=_TEXT_OR_NULL,
        request_id=_TEXT_OR_NULL,
    )
    own = {
        "Of a schema conflict only.": ("column", "existing", "incoming"),
        "Of an exceeded guardrail only.": ("guardrail",),
        "Of a missing right only.": ("token", "right"),
    }
    problem["properties"] |= {
        name: _TEXT | {"description": description} for description, names in own.items() for name in names
    }
    return problem
