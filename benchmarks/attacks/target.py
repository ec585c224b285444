"""The server under attack, as an attacker sees it."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_TIMEOUT = 30.0  # seconds
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    token: str  # of attackers who have one
    ca: str = ""  # file of the certificate that signed the server's; empty = plain HTTP
    share: float = 1.0  # of the connections that an attack holds open
    held: set[socket.socket] = field(default_factory=set, compare=False)  # those, of all its threads

    def connect(self) -> socket.socket:
        """A connection on which HTTP can be spoken."""
        raw = self.connect_below()
        return self._tls().wrap_socket(raw, server_hostname="localhost") if self.ca else raw

    def connect_below(self, *, reset: bool = False) -> socket.socket:
        """A TCP connection, without TLS. reset: it does not end in order when it is closed."""
        parts = urlsplit(self.url)
        raw = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_TIMEOUT)
        if reset:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        return raw

    def post(self, body: bytes, content_type: str, headers: dict[str, str]) -> int:
        """The status."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect()
        own = {"Content-Type": content_type, "Authorization": f"Bearer {self.token}"}
        try:
            connection.request("POST", "/v1/datasets/attacked/batches", body, own | headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)
