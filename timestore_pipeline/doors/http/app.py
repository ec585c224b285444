"""The application: routes from the table of operations, handlers behind the token, errors as problems."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from timestore_pipeline.doors.http.connection import Connection
from timestore_pipeline.doors.http.endpoints import Endpoints
from timestore_pipeline.doors.http.exchange import App, Exchanges
from timestore_pipeline.doors.http.operations import OPERATIONS, Operation
from timestore_pipeline.doors.http.probes import Probes
from timestore_pipeline.doors.http.problems import HANDLERS
from timestore_pipeline.doors.http.service import Service
from timestore_pipeline.doors.http.token import check_host, check_token
from timestore_pipeline.errors import ServerBusy

Handler = Callable[[Request], Awaitable[Response]]


def build_app(make_service: Callable[[], Service], token: SecretStr | None, stopping: Callable[[], bool]) -> App:
    """make_service: called in the event loop that will use it. token: None = no authentication."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service = make_service()
        await service.start()
        endpoints = Endpoints(service, Probes(service, stopping))
        app.router.routes.extend(_routes(endpoints, token))
        try:
            yield
        finally:
            await service.close()

    app = Starlette(exception_handlers=HANDLERS, lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would repeat a Host header that any client can forge
    return Exchanges(app)


def _routes(endpoints: Endpoints, token: SecretStr | None) -> list[Route]:
    handlers = endpoints.handlers()
    return [
        Route(operation.path, _guarded(operation, handlers[operation.id], token), methods=[operation.method])
        for operation in OPERATIONS
    ]


def _guarded(operation: Operation, handler: Handler, token: SecretStr | None) -> Handler:
    async def endpoint(request: Request) -> Response:
        connection: Connection = request.state.connection
        if connection.is_spare and not operation.probe:
            raise ServerBusy("the server has too many connections at work", hint="wait and retry")
        check_host(token, request.headers.getlist("host"))
        if operation.protected:
            check_token(token, request.headers.getlist("authorization"))
            connection.admit()
        return await handler(request)

    return endpoint
