"""The table of operations, from which both the routes and the OpenAPI document are built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from timestore_pipeline.doors.access.gate import Right

_REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)  # also of requests that only read
_BODY_REFUSALS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that is not a problem. `schema`: name of its component, None = text."""

    description: str
    schema: str | None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    id: str
    method: str
    path: str
    summary: str
    answers: Mapping[HTTPStatus, Answer]
    problems: Sequence[HTTPStatus] = field(default=())  # in addition to those of the token
    right: Right | None = None  # that a token needs, on the path's dataset if it names one; None = needs no token
    of_all: bool = False  # on all datasets, because the answer names them
    probe: bool = False  # also answered on the connections that are reserved for probes
    body: str | None = None  # `batch` or `metadata`
    waits: bool = False  # takes `wait`, in seconds

    @property
    def protected(self) -> bool:
        return self.right is not None


_FLUSH_REFUSALS = (*_REFUSALS, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.INSUFFICIENT_STORAGE)
_DONE = "Nothing of it is pending or in flight any more."
_REQUESTED = "Flushes are requested; something is still pending or in flight."
_RECEIPT = "Durable: it survives a crash and power loss and will be published exactly once."

OPERATIONS = (
    Operation(
        "stageBatch",
        "POST",
        "/v1/datasets/{dataset}/batches",
        "Stage one batch: all of the body, or nothing of it",
        {
            HTTPStatus.CREATED: Answer(_RECEIPT, "Receipt"),
            HTTPStatus.OK: Answer("The idempotency key is known: the first receipt again.", "Receipt"),
        },
        (*_BODY_REFUSALS, *_REFUSALS, HTTPStatus.CONFLICT, HTTPStatus.INSUFFICIENT_STORAGE),
        right=Right.STAGE,
        body="batch",
    ),
    Operation(
        "requestFlush",
        "POST",
        "/v1/datasets/{dataset}/flush",
        "Ask the sensor to flush a dataset at its next tick, and with `wait` wait until what is staged is published",
        {
            HTTPStatus.ACCEPTED: Answer("What came of it; with `wait`: the time is over, the request stands.", "Flush"),
            HTTPStatus.OK: Answer(_DONE, "Flushes"),
        },
        (*_FLUSH_REFUSALS, HTTPStatus.NOT_FOUND),
        right=Right.OPERATE,
        waits=True,
    ),
    Operation(
        "flushAll",
        "POST",
        "/v1/flush",
        "The same for every dataset that the token may flush",
        {HTTPStatus.ACCEPTED: Answer(_REQUESTED, "Flushes"), HTTPStatus.OK: Answer(_DONE, "Flushes")},
        _FLUSH_REFUSALS,
        right=Right.OPERATE,
        waits=True,
    ),
    Operation(
        "drain",
        "POST",
        "/v1/drain",
        "The same, including batches that arrive during the wait: until nothing is pending or in flight",
        {HTTPStatus.ACCEPTED: Answer(_REQUESTED, "Flushes"), HTTPStatus.OK: Answer(_DONE, "Flushes")},
        _FLUSH_REFUSALS,
        right=Right.OPERATE,
        waits=True,
    ),
    Operation(
        "listDatasets",
        "GET",
        "/v1/datasets",
        "Status of every dataset that the token may read",
        {HTTPStatus.OK: Answer("As `timestore status --json` prints it.", "Status")},
        _REFUSALS,
        right=Right.READ,
    ),
    Operation(
        "getDataset",
        "GET",
        "/v1/datasets/{dataset}",
        "Status of one dataset",
        {HTTPStatus.OK: Answer("As `timestore status DATASET --json` prints it.", "Status")},
        (*_REFUSALS, HTTPStatus.NOT_FOUND),
        right=Right.READ,
    ),
    Operation(
        "setMetadata",
        "PUT",
        "/v1/datasets/{dataset}/metadata",
        "Replace a dataset's metadata; the dataset is made if need be",
        {HTTPStatus.OK: Answer("As `timestore datasets show --json` prints it.", "Dataset")},
        (*_BODY_REFUSALS, *_REFUSALS, HTTPStatus.CONFLICT, HTTPStatus.INSUFFICIENT_STORAGE),
        right=Right.OPERATE,
        body="metadata",
    ),
    Operation(
        "health",
        "GET",
        "/health",
        "The process lives",
        {HTTPStatus.OK: Answer("It answers.", "Probe")},
        probe=True,
    ),
    Operation(
        "ready",
        "GET",
        "/ready",
        "Batches would be accepted: the ledger can be written, the disk has room, no shutdown is under way",
        {HTTPStatus.OK: Answer("It is ready.", "Probe")},
        (*_REFUSALS, HTTPStatus.INSUFFICIENT_STORAGE),
        probe=True,
    ),
    Operation(
        "metrics",
        "GET",
        "/metrics",
        "Prometheus exposition, at most a second old",
        {HTTPStatus.OK: Answer("Series of this staging directory, and of this server.", None, "text/plain")},
        _REFUSALS,
        right=Right.READ,
        of_all=True,
        probe=True,
    ),
    Operation(
        "describe",
        "GET",
        "/openapi.json",
        "This description",
        {HTTPStatus.OK: Answer("An OpenAPI document.", "Description")},
    ),
)
