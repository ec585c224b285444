"""Errors as HTTP responses: a status, `application/problem+json` (RFC 9457), and `Retry-After`.

Handlers are coroutines: a plain function would be called in a thread, and an exhausted process may not get one.
"""

from __future__ import annotations

import errno
import math
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from timestore_pipeline import errors
from timestore_pipeline.doors.http.body import Disconnected
from timestore_pipeline.errors import Forbidden, GuardrailExceeded, RetryLater, SchemaConflict, TimestoreError

MEDIA_TYPE = "application/problem+json"

# The first class an error belongs to decides.
STATUSES: tuple[tuple[type[TimestoreError], HTTPStatus], ...] = (
    (errors.QueueFull, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.ServerBusy, HTTPStatus.TOO_MANY_REQUESTS),
    (GuardrailExceeded, HTTPStatus.INSUFFICIENT_STORAGE),
    (errors.DiskFull, HTTPStatus.INSUFFICIENT_STORAGE),
    (errors.SlowRequest, HTTPStatus.REQUEST_TIMEOUT),
    (errors.RetryLater, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.UnreadableInput, HTTPStatus.BAD_REQUEST),
    (errors.Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (errors.ForeignSite, HTTPStatus.FORBIDDEN),
    (errors.ForeignHost, HTTPStatus.MISDIRECTED_REQUEST),
    (errors.UnknownDataset, HTTPStatus.NOT_FOUND),
    (errors.BodyTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.UnsupportedType, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (errors.InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.Conflict, HTTPStatus.CONFLICT),
    (errors.TimestoreError, HTTPStatus.INTERNAL_SERVER_ERROR),
)
# The members of its own that a problem has.
_OWN: tuple[tuple[type[TimestoreError], tuple[str, ...]], ...] = (
    (SchemaConflict, ("column", "existing", "incoming")),
    (GuardrailExceeded, ("guardrail",)),
    (Forbidden, ("token", "right")),
)
_NO_FILES = (errno.EMFILE, errno.ENFILE)
_CLIENT_GONE = 499  # nginx's status in access logs; it is never sent


def status_of(error: TimestoreError) -> HTTPStatus:
    return next(status for kind, status in STATUSES if isinstance(error, kind))


async def of_error(request: Request, error: Exception) -> Response:
    """Handler of every `TimestoreError`."""
    assert isinstance(error, TimestoreError)
    status = status_of(error)
    document: dict[str, Any] = {**error.to_dict()}
    document["detail"] = document.pop("message")  # its name in RFC 9457
    names = next((names for kind, names in _OWN if isinstance(error, kind)), ())
    document |= {name: getattr(error, name) for name in names}
    return _problem(request, status, document, _headers(error))


async def of_system_error(request: Request, error: Exception) -> Response:
    """Handler of `OSError`: without a free file descriptor a request may be retried; any other one is a bug."""
    assert isinstance(error, OSError)
    if error.errno not in _NO_FILES:
        raise error
    hint = "retry with the same idempotency key; the operator raises the limit on open files (ulimit -n)"
    return await of_error(request, RetryLater(f"the server can open no more files: {error.strerror}", hint=hint))


async def of_http_exception(request: Request, error: Exception) -> Response:
    """Handler of routing errors: an unknown path, or a wrong method."""
    assert isinstance(error, HTTPException)
    code = "not_found" if error.status_code == HTTPStatus.NOT_FOUND else "method_not_allowed"
    document = {"code": code, "detail": error.detail, "hint": "see /openapi.json", "dataset": None}
    return _problem(request, HTTPStatus(error.status_code), document, dict(error.headers or {}))


async def of_bug(request: Request, _: Exception) -> Response:
    """Handler of all other errors; the log has the details, under the request's id."""
    document = {"code": "internal_error", "detail": "the server failed", "hint": "see its log", "dataset": None}
    return _problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, document, {})


async def of_disconnect(_request: Request, _error: Exception) -> Response:
    """For the access log only."""
    return Response(status_code=_CLIENT_GONE)


def _problem(request: Request, status: HTTPStatus, document: dict[str, Any], headers: dict[str, str]) -> Response:
    head = {"type": f"urn:timestore:error:{document['code']}", "title": status.phrase, "status": int(status)}
    tail = {"request_id": request.scope.get("state", {}).get("request_id")}
    return JSONResponse(head | document | tail, status, headers, MEDIA_TYPE)


def _headers(error: TimestoreError) -> dict[str, str]:
    if isinstance(error, RetryLater):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after.total_seconds())))}
    challenge = next((challenge for kind, challenge in _CHALLENGES if isinstance(error, kind)), None)
    return {"WWW-Authenticate": f'Bearer realm="timestore"{challenge}'} if challenge is not None else {}


# RFC 6750, section 3.1; the first class an error belongs to decides.
_CHALLENGES: tuple[tuple[type[TimestoreError], str], ...] = (
    (errors.InvalidToken, ', error="invalid_token"'),
    (errors.Unauthenticated, ""),
    (Forbidden, ', error="insufficient_scope"'),
)

HANDLERS = {
    TimestoreError: of_error,
    OSError: of_system_error,
    HTTPException: of_http_exception,
    Disconnected: of_disconnect,
    Exception: of_bug,
}
