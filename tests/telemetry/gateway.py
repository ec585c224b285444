"""A listener on a real socket that stands where a Pushgateway would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Gateway:
    """What arrived, and what to answer; `answering` cleared = requests hang until it is set."""

    url: str
    status: int = 200
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, body
    answering: threading.Event = field(default_factory=threading.Event)


@contextmanager
def listening() -> Iterator[Gateway]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            gateway.requests.append(("PUT", self.path, body))
            gateway.answering.wait()
            self.send_response(gateway.status)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Silence: standard error is the test's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gateway = Gateway(f"http://127.0.0.1:{server.server_port}")
    gateway.answering.set()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield gateway
    finally:
        gateway.answering.set()
        server.shutdown()
        server.server_close()
