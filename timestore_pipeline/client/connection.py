"""One connection to a server, kept open between requests and made anew after whatever went wrong with it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from timestore_pipeline.closing import Closing
from timestore_pipeline.errors import InvalidInput, NotAcknowledged

_MOST_READ = 1 << 20  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Answer:
    """`document`: empty where the body is no JSON object. `retry_after`: seconds, 0 = not said."""

    status: int
    document: Mapping[str, Any]
    retry_after: float


class Connection(Closing):
    """Thread-safe; requests go one after the other."""

    def __init__(self, url: str, timeout: float) -> None:
        """timeout: seconds without a byte. Raises `InvalidInput` for an address that is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise InvalidInput(f"{url!r} is no address of a server", hint="give http://host:port or https://host:port")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._base = parts.path.rstrip("/")
        self._where = f"{parts.scheme}://{parts.hostname}:{parts.port or kind.default_port}"
        self._lock = threading.Lock()
        self._connection = kind(parts.hostname, parts.port, timeout=timeout)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises `NotAcknowledged` when no answer came: the request may have been carried out."""
        with self._lock:
            try:
                with suppress(BrokenPipeError):  # it may have answered before it had read all
                    self._connection.request("POST", self._base + path, body, dict(headers))
                response = self._connection.getresponse()
                return Answer(response.status, _document(response.read(_MOST_READ)), _retry_after(response))
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                reason = str(error) or type(error).__name__
                hint = "send it again with the same idempotency key: it is staged once"
                raise NotAcknowledged(f"{self._where} gave no answer: {reason}", hint=hint) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(response: http.client.HTTPResponse) -> float:
    """In seconds only; a date would need both clocks to agree."""
    said = response.getheader("Retry-After", "")
    return float(said) if said.isdecimal() else 0.0
