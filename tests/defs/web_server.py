"""A server that answers every GraphQL request with one document, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread
from typing import Any


class WebServer(HTTPServer):
    """`silent`: accepts and never answers, as during a reload."""

    def __init__(self, answer: str, *, silent: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.silent = silent
        self.over = Event()
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, WebServer)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append({"path": self.path, **json.loads(body)})
        if self.server.silent:
            self.server.over.wait(30)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer.encode())

    def log_message(self, *_arguments: object) -> None:
        """Keep the tests' output clean."""


@contextmanager
def serving(
    typename: str | None = "WorkspaceLocationEntry", *, raw: str = "", silent: bool = False
) -> Iterator[WebServer]:
    answer = raw or json.dumps({"data": {"reloadRepositoryLocation": {"__typename": typename}}})
    with WebServer(answer, silent=silent) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
