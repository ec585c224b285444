"""One connection to a server, kept open between requests and opened again after any error."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

from timestore_pipeline.client.transport import Body, Http, Https
from timestore_pipeline.errors import InvalidInput, NotAcknowledged
from timestore_pipeline.system.context_managers import Closing

_LONGEST_WAIT = 86_400.0  # seconds that a server may ask for
_USERINFO = re.compile(r"://.*@")
_PATH = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class Answer:
    """`document`: empty if the body is no JSON object. `retry_after`: seconds, 0 = the answer has none."""

    status: int
    document: Mapping[str, Any]
    retry_after: float


class Connection(Closing):
    """Thread-safe; requests go one after the other. A forked child has a connection of its own."""

    def __init__(self, url: str, timeout: float, ca_file: str | None = None) -> None:
        """timeout: seconds, as in `transport`. ca_file: None = the system's. Raises `InvalidInput`."""
        parts = _address(url)
        if ca_file is not None and parts.scheme != "https":
            raise InvalidInput("ca_file is given, and the address is not https://", hint="give an https:// address")
        kind = Https if parts.scheme == "https" else Http
        options: dict[str, Any] = {"context": _trusting(ca_file)} if kind is Https else {}
        self._base = parts.path.rstrip("/")
        self._where = f"{parts.scheme}://{parts.hostname}:{parts.port or kind.default_port}"
        self._make = partial(kind, parts.hostname or "", parts.port, timeout=timeout, **options)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._connection = self._make()

    def post(self, path: str, body: Body, headers: Mapping[str, str]) -> Answer:
        """Raises `NotAcknowledged` when no whole answer arrived: the request may have been executed.

        Raises `InvalidInput` for a server that does not prove who it is: nothing was sent to it.
        """
        if os.getpid() != self._process:  # forked: parent and child would mix their requests on the parent's socket
            self._begin()
        with self._lock:
            try:
                with suppress(BrokenPipeError):  # the server may have answered before it had read everything
                    self._connection.post(self._base + path, body, headers)
                response, body = self._connection.answer()
                return Answer(response.status, _document(body), _retry_after(response))
            except ssl.SSLCertVerificationError as error:
                self._connection.close()
                hint = "give the file of its CA as ca_file, or its right name in the address; or renew its certificate"
                raise InvalidInput(f"{self._where} is not trusted: {error.verify_message}", hint=hint) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._connection.close()
                reason = str(error) or type(error).__name__
                hint = "send it again with the same idempotency key: it is staged once"
                raise NotAcknowledged(f"{self._where} gave no answer: {reason}", hint=hint) from error

    def close(self) -> None:
        if os.getpid() == self._process:
            with self._lock:
                self._connection.close()


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    """Requires a valid certificate of the right name, and TLS 1.2 at least."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # SSLError is one
        reason = error.strerror or error
        raise InvalidInput(f"{ca_file!r} holds no CA certificates: {reason}", hint="give a PEM file") from error


def _address(url: str) -> SplitResult:
    """Raises `InvalidInput`, without a password that the address may contain."""
    hint = "give http://host:port or https://host:port, the token on its own"
    wrong = InvalidInput(f"{_USERINFO.sub('://***@', url)!r} is no address of a server", hint=hint)
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        reachable = parts.port != 0 and _PATH.fullmatch(parts.path)
    except ValueError as error:
        raise wrong from error
    if not reachable or parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise wrong
    return parts


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(response: http.client.HTTPResponse) -> float:
    """Only seconds are read; a date would need both clocks to agree."""
    value = response.getheader("Retry-After", "")
    return min(float(value), _LONGEST_WAIT) if value.isdecimal() else 0.0
