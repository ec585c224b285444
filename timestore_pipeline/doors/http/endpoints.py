"""The routes' handlers: translations between HTTP and the service."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from timestore_pipeline.doors.access.gate import Token
from timestore_pipeline.doors.documents import receipt_document
from timestore_pipeline.doors.http.body import BodyReader, body_too_large
from timestore_pipeline.doors.http.connection import Connection
from timestore_pipeline.doors.http.flushing import Demand, Flushing
from timestore_pipeline.doors.http.formats import body_format, content_encoding, csv_dialect
from timestore_pipeline.doors.http.limits import Limits
from timestore_pipeline.doors.http.openapi import openapi_document
from timestore_pipeline.doors.http.probes import Probes
from timestore_pipeline.doors.http.service import Batch, Service
from timestore_pipeline.errors import InvalidInput, UnreadableInput, UnsupportedType
from timestore_pipeline.model.dataset import check_dataset_name

_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")  # `float` also takes 1_0 for ten, and digits of other scripts


class Endpoints:
    """One method per operation of the API."""

    def __init__(self, service: Service, flushing: Flushing, probes: Probes) -> None:
        self._service = service
        self._flushing = flushing
        self._probes = probes
        self._description = JSONResponse(openapi_document(service.limits)).body  # built once: it is long and public

    def handlers(self) -> Mapping[str, Callable[[Request], Awaitable[Response]]]:
        """By operation id."""
        return {
            "stageBatch": self.stage_batch,
            "requestFlush": self.request_flush,
            "flushAll": self.flush_all,
            "drain": self.drain,
            "listDatasets": self.list_datasets,
            "getDataset": self.get_dataset,
            "setMetadata": self.set_metadata,
            "health": self.health,
            "ready": self.ready,
            "metrics": self.metrics,
            "describe": self.describe,
        }

    async def stage_batch(self, request: Request) -> Response:
        content_type = _only(request, "content-type")
        batch = Batch(
            peer=_peer(request),
            dataset=check_dataset_name(request.path_params["dataset"]),
            format=body_format(content_type),
            csv=csv_dialect(content_type),
            encoding=content_encoding(request.headers.getlist("content-encoding")),
            idempotency_key=_text(_only(request, "idempotency-key")),
        )
        staged = await self._service.stage(batch, self._pieces(request, self._service.limits.body_bytes))
        status = HTTPStatus.OK if staged.receipt.duplicate else HTTPStatus.CREATED
        return JSONResponse(receipt_document(staged.receipt) | staged.decided.to_dict(), status)

    async def request_flush(self, request: Request) -> Response:
        dataset = request.path_params["dataset"]
        if "wait" in request.query_params:
            return await self._flush(request, dataset=dataset)
        outcome = await self._service.request_flush(_peer(request), dataset)
        return JSONResponse({"dataset": dataset, "outcome": outcome}, HTTPStatus.ACCEPTED)

    async def flush_all(self, request: Request) -> Response:
        return await self._flush(request)

    async def drain(self, request: Request) -> Response:
        return await self._flush(request, until_empty=True)

    async def _flush(self, request: Request, *, dataset: str | None = None, until_empty: bool = False) -> Response:
        token: Token = request.state.token
        demand = Demand(token.covers, _wait(request, self._service.limits), dataset, until_empty)
        connection: Connection = request.state.connection
        report = await self._flushing.carry_out(_peer(request), demand, lambda: connection.has_left)
        return JSONResponse(report, HTTPStatus.OK if report["done"] else HTTPStatus.ACCEPTED)

    async def list_datasets(self, request: Request) -> Response:
        document = await self._service.statuses(_peer(request), None)
        token: Token = request.state.token
        document["datasets"] = [one for one in document["datasets"] if token.covers(one["dataset"])]
        return JSONResponse(document)

    async def get_dataset(self, request: Request) -> Response:
        return JSONResponse(await self._service.statuses(_peer(request), request.path_params["dataset"]))

    async def set_metadata(self, request: Request) -> Response:
        if body_format(_only(request, "content-type")).suffix != ".json":
            raise UnsupportedType("metadata is JSON", hint="send Content-Type: application/json")
        if content_encoding(request.headers.getlist("content-encoding")) != "identity":
            raise UnsupportedType("metadata must not be compressed", hint="send it without Content-Encoding")
        body = await self._pieces(request, self._service.limits.metadata_bytes).whole()
        dataset = request.path_params["dataset"]
        return JSONResponse(await self._service.set_metadata(_peer(request), dataset, _json_text(body)))

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(self, _: Request) -> Response:
        await self._probes.ready()
        return JSONResponse({"status": "ready"})

    async def metrics(self, _: Request) -> Response:
        return Response(await self._probes.metrics(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def describe(self, _: Request) -> Response:
        return Response(self._description, media_type="application/json")

    def _pieces(self, request: Request, most: int) -> BodyReader:
        """Refuses a body by its announced length before reading it."""
        if int(request.headers.get("content-length", "0")) > most:
            raise body_too_large(most)
        return BodyReader(request.receive, self._service.limits, most)


def _peer(request: Request) -> str:
    """Its address, without the port."""
    return str(request.state.connection.peer)


def _wait(request: Request, limits: Limits) -> float:
    """Seconds; 0 without the parameter."""
    given = request.query_params.getlist("wait") or ["0"]
    seconds = float(given[0]) if len(given) == 1 and _DECIMAL.fullmatch(given[0]) else math.inf
    if seconds > limits.flush_wait_seconds:
        shown = ", ".join(given)
        raise InvalidInput(f"wait={shown:.80} is refused", hint=f"one number from 0 to {limits.flush_wait_seconds:g}")
    return seconds


def _only(request: Request, name: str) -> str | None:
    """The value of a header that may appear only once: of two, the server cannot know which one is meant."""
    given = request.headers.getlist(name)
    if len(given) > 1:
        raise InvalidInput(f"the request has {len(given)} headers {name}", hint="send one")
    return given[0] if given else None


def _text(header: str | None) -> str | None:
    """A header's value decoded as UTF-8; HTTP delivers its bytes as one character each."""
    if header is None:
        return None
    try:
        return header.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("the Idempotency-Key is not UTF-8", hint="send letters, digits and punctuation") from error


def _json_text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"the body is not UTF-8: {error}", hint="send a JSON object in UTF-8") from error
