"""A client with a token that sends ten rows at a time and counts the requests that fail.

It keeps its connection, and makes a new one now and then, as programs do that are started for each batch.
"""

from __future__ import annotations

import http.client
import ssl
import sys
import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from benchmarks.workers.answering import answer, stream
from benchmarks.workers.rows import rows

_ROWS = 10
_KEPT = 20  # requests on one connection
_TIMEOUT = 60.0  # seconds; a request that takes longer has failed


class GoodClient:
    def __init__(self, url: str, token: str, ca: str) -> None:
        parts = urlsplit(url)
        connect: Any = http.client.HTTPConnection
        if ca:
            connect = partial(http.client.HTTPSConnection, context=ssl.create_default_context(cafile=ca))
        self._connection: http.client.HTTPConnection = connect(parts.hostname, parts.port, timeout=_TIMEOUT)
        self._headers = {"Content-Type": "application/vnd.apache.arrow.stream", "Authorization": f"Bearer {token}"}
        self._body = stream(rows(_ROWS))

    def send(self, seconds: float) -> dict[str, Any]:
        """For so long, each batch after the last one's answer; milliseconds, and the reasons of failures."""
        taken, failed = list[float](), list[str]()
        began = time.perf_counter()
        while time.perf_counter() < began + seconds:
            if len(taken) % _KEPT == 0:
                self._connection.close()  # the next request connects
            before = time.perf_counter()
            refusal = self._refusal()
            taken.append(1e3 * (time.perf_counter() - before))
            failed += [refusal] if refusal else []
        return {"latencies": taken, "failed": failed}

    def _refusal(self) -> str:
        """Empty = the batch is durable."""
        try:
            self._connection.request("POST", "/v1/datasets/good/batches", self._body, self._headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return type(error).__name__
        return "" if response.status == 201 else f"{response.status} {text[:300].decode(errors='replace')}"


def main(url: str, token: str, ca: str = "") -> None:
    answer({"send": GoodClient(url, token, ca).send})


if __name__ == "__main__":
    main(*sys.argv[1:])
