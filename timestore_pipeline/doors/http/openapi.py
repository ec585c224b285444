"""The OpenAPI document, built from the same table as the routes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from timestore_pipeline.doors.http.formats import FORMATS
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.doors.http.operations import OPERATIONS, Answer, Operation
from timestore_pipeline.doors.http.problems import MEDIA_TYPE
from timestore_pipeline.doors.http.schemas import DATASET_NAME, components, reference
from timestore_pipeline.model.release import release

_RETRIED = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.INSUFFICIENT_STORAGE,
)
_REQUEST_ID = {"X-Request-ID": {"schema": {"type": "string"}, "description": "The request's own, or a new one."}}
_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}}


def openapi_document(limits: Limits) -> dict[str, Any]:
    """OpenAPI 3.1, with the limits of this server."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, limits)
    return {
        "openapi": "3.1.0",
        "info": {"title": "timestore", "version": release(), "description": "Stage time-series batches durably."},
        "paths": paths,
        "components": {
            "schemas": components(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation, limits: Limits) -> dict[str, Any]:
    problems = {*operation.problems, HTTPStatus.BAD_REQUEST, HTTPStatus.MISDIRECTED_REQUEST}
    if operation.protected:
        problems |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    document: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": [_PARAMETERS[name] for name in re.findall(r"{(\w+)}", operation.path)],
        "responses": {
            **{str(int(status)): _answer(answer) for status, answer in operation.answers.items()},
            **{str(int(status)): _problem(status) for status in sorted(problems)},
        },
        "security": [{"token": []}, {}] if operation.protected else [{}],  # {}: a server may run without a token
    }
    if operation.waits:
        document["parameters"].append(_wait(limits))
    if operation.body is not None:
        document |= _BODIES[operation.body](limits)
        document["parameters"] += _BODY_PARAMETERS[operation.body]
    return document


def _answer(answer: Answer) -> dict[str, Any]:
    schema = {"type": "string"} if answer.schema is None else reference(answer.schema)
    return {
        "description": answer.description,
        "headers": _REQUEST_ID,
        "content": {answer.media_type: {"schema": schema}},
    }


def _problem(status: HTTPStatus) -> dict[str, Any]:
    return {
        "description": status.phrase,
        "headers": _REQUEST_ID | (_RETRY_AFTER if status in _RETRIED else {}),
        "content": {MEDIA_TYPE: {"schema": reference("Problem")}},
    }


def _wait(limits: Limits) -> dict[str, Any]:
    return {
        "name": "wait",
        "in": "query",
        "description": "Seconds to wait at most; without it the answer comes at once.",
        "schema": {"type": "number", "minimum": 0, "maximum": limits.flush_wait_seconds},
    }


def _batch_body(limits: Limits) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    rows = {"type": "array", "minItems": 1, "items": {"type": "object", "minProperties": 1}}
    content = {
        content_type: {"schema": rows if format_.name == "JSON" else binary}
        for format_ in FORMATS
        for content_type in format_.types
    }
    size = f"At most {limits.body_bytes} bytes: as sent, unpacked, and as Arrow data."
    return {"requestBody": {"required": True, "description": size, "content": content}}


def _metadata_body(limits: Limits) -> dict[str, Any]:
    size = f"At most {limits.metadata_bytes} bytes."
    content = {"application/json": {"schema": reference("Metadata")}}
    return {"requestBody": {"required": True, "description": size, "content": content}}


_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "dataset": {"name": "dataset", "in": "path", "required": True, "schema": DATASET_NAME}
}
_BODIES = {"batch": _batch_body, "metadata": _metadata_body}
_BODY_PARAMETERS: Mapping[str, list[dict[str, Any]]] = {
    "metadata": [],
    "batch": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Names the batch: sent again, it is not staged again. Without one, a retry may stage twice.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 512, "pattern": "^[!-~]+$"},
        },
        {
            "name": "Content-Encoding",
            "in": "header",
            "schema": {"enum": ["gzip", "identity"]},
        },
    ],
}
