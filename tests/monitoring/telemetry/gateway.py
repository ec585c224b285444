"""A listener on a real socket that stands where a Pushgateway would."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from timestore_pipeline.system import clock


@dataclass
class Gateway:
    """What arrived, and what to answer; `answering` cleared = requests hang until it is set."""

    url: str
    status: int = 200
    says: str = ""  # the body of the answer
    moved_to: str = ""
    authorized: list[str] = field(default_factory=list)  # the header of each request
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, body
    answering: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def another(self, known: int) -> bool:
        """Wait until more requests than these have arrived; False when none comes."""
        with self.arrived:
            return self.arrived.wait_for(lambda: len(self.requests) > known, timeout=60)


@contextmanager
def listening() -> Iterator[Gateway]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            with gateway.arrived:
                gateway.requests.append(("PUT", self.path, body))
                gateway.arrived.notify_all()
            gateway.authorized.append(self.headers.get("Authorization", ""))
            gateway.answering.wait()
            self.send_response(gateway.status)
            if gateway.moved_to:
                self.send_header("Location", gateway.moved_to)
            self.end_headers()
            self.wfile.write(gateway.says.encode())

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


@contextmanager
def dripping() -> Iterator[str]:
    """The url of a gateway that sends a byte of its answer now and then, for ever."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_drip, args=(server,), daemon=True).start()
    with server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _drip(server: socket.socket) -> None:
    with suppress(OSError), server.accept()[0] as line:
        line.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            line.sendall(b"x")
            clock.sleep(0.01)
