"""A proxy before an S3 server that lets a commit through and loses the answer."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_COMMIT = "/_delta_log/"
HOW = ("500", "close", "silence")


@dataclass
class S3Proxy:
    """`storage_options` lead through it; `lose` says what becomes of the answers to the next commits."""

    storage_options: dict[str, str]
    upstream: str
    how: str | None = None
    left: int = 0  # answers still to be lost
    lost: list[str] = field(default_factory=list)  # paths of the commits whose answer was lost
    ended: threading.Event = field(default_factory=threading.Event)

    def lose(self, how: str, count: int = 1) -> None:
        self.how, self.left = how, count

    def takes(self, method: str, path: str) -> bool:
        """Whether this request's answer is to be lost."""
        if method != "PUT" or _COMMIT not in path or not path.endswith(".json") or not self.left:
            return False
        self.left -= 1
        self.lost.append(path)
        return True


@contextmanager
def proxied(storage_options: dict[str, str]) -> Iterator[S3Proxy]:
    """A proxy on a free port before the server of these options."""
    proxy = S3Proxy({}, urlsplit(storage_options["AWS_ENDPOINT_URL"]).netloc)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    server.daemon_threads = True
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    proxy.storage_options = {**storage_options, "AWS_ENDPOINT_URL": endpoint}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


_HOP_BY_HOP = ("transfer-encoding", "connection", "content-length", "expect")


def _handler(proxy: S3Proxy) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Forwarder,), {"proxy": proxy})


class _Forwarder(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    proxy: S3Proxy

    def forward(self) -> None:
        body = self._body()
        lost = self.proxy.takes(self.command, self.path)
        status, headers, content = self._ask(body)
        if not lost:
            self._answer(status, headers, content)
            return
        assert status == 200, f"the commit did not get in: {status} {content!r}"
        self._lose()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            continue  # trailers
        return body

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():  # the host too: the signature covers it
            if name.lower() not in _HOP_BY_HOP:
                upstream.putheader(name, value)
        upstream.putheader("Content-Length", str(len(body)))
        upstream.endheaders(body)
        with closing(upstream), upstream.getresponse() as response:
            return response.status, response.getheaders(), response.read()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        length = {name.lower(): value for name, value in headers}.get("content-length")
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _lose(self) -> None:
        if self.proxy.how == "500":
            self._answer(500, [], b"<Error><Code>InternalError</Code></Error>")
            return
        if self.proxy.how == "silence":
            self.proxy.ended.wait()  # longer than any client waits
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests tell what matters."""

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815
