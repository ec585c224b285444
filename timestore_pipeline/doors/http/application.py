"""The application: routes from the table of operations, handlers behind the gate, errors as problems."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from timestore_pipeline.doors.access.gate import Gate, Right
from timestore_pipeline.doors.http.connection import Connection
from timestore_pipeline.doors.http.endpoints import Endpoints
from timestore_pipeline.doors.http.exchange import App, Exchanges
from timestore_pipeline.doors.http.flushing import Flushing
from timestore_pipeline.doors.http.hosts import check_host
from timestore_pipeline.doors.http.operations import OPERATIONS, Operation
from timestore_pipeline.doors.http.probes import Probes
from timestore_pipeline.doors.http.problems import HANDLERS
from timestore_pipeline.doors.http.server_metrics import ServerMetrics
from timestore_pipeline.doors.http.service import Service
from timestore_pipeline.errors import ServerBusy

Handler = Callable[[Request], Awaitable[Response]]


def build_app(
    make_service: Callable[[], Service], gate: Gate, metrics: ServerMetrics, stopping: Callable[[], bool]
) -> App:
    """make_service: called in the event loop that will use it."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service = make_service()
        await service.start()
        flushing = Flushing(service.store, service.limits, stopping)
        endpoints = Endpoints(service, flushing, Probes(service, metrics, stopping))
        app.router.routes.extend(_routes(endpoints, gate))
        try:
            yield
        finally:
            flushing.close()
            await service.close()

    app = Starlette(exception_handlers=HANDLERS, lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would repeat a Host header that any client can forge
    return Exchanges(app, metrics.count)


def _routes(endpoints: Endpoints, gate: Gate) -> list[Route]:
    handlers = endpoints.handlers()
    return [
        Route(operation.path, _guarded(operation, handlers[operation.id], gate), methods=[operation.method])
        for operation in OPERATIONS
    ]


def _guarded(operation: Operation, handler: Handler, gate: Gate) -> Handler:
    async def endpoint(request: Request) -> Response:
        connection: Connection = request.state.connection
        if connection.is_spare and not operation.probe:
            raise ServerBusy("the server has too many connections at work", hint="wait and retry")
        check_host(gate.is_open, request.headers.getlist("host"))
        if operation.right is not None:
            _authorise(request, operation, operation.right, gate)
            connection.admit()
        return await handler(request)

    return endpoint


def _authorise(request: Request, operation: Operation, right: Right, gate: Gate) -> None:
    """Raises `Unauthenticated`, `InvalidToken` or `Forbidden`. The state is for the access log and the metrics."""
    request.state.right = right
    token = request.state.token = gate.identify(request.headers.getlist("authorization"))
    dataset = request.path_params.get("dataset")
    token.check(right, dataset, some=dataset is None and not operation.of_all)
