"""A server that answers what a test tells it to, one answer after the other, and keeps what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa

RECEIPT = {
    "batch_id": "b", "dataset": "d", "rows": 1, "bytes": 8, "staged_at": "2026-01-01T00:00:00+00:00", "duplicate": False
}  # fmt: skip  # `rows` is replaced by the number of rows that were sent
HANG_UP = 0  # instead of a status

Scene = tuple[int, dict[str, Any], dict[str, str]]  # status, document, headers


@dataclass
class Scripted:
    """`answers`: the last one again and again. `keys`: of the requests, in order."""

    url: str
    answers: Sequence[Scene]
    keys: list[str] = field(default_factory=list)

    def next(self, key: str) -> Scene:
        self.keys.append(key)
        return self.answers[min(len(self.keys), len(self.answers)) - 1]


@contextmanager
def scripted(*answers: Scene) -> Iterator[Scripted]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            status, document, headers = script.next(self.headers["idempotency-key"])
            if status == HANG_UP:
                self.close_connection = True
                return
            self.send_response(status)
            if document is RECEIPT:
                document = RECEIPT | {"rows": pa.ipc.open_stream(sent).read_all().num_rows}
            body = json.dumps(document).encode()
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        script = Scripted(f"http://127.0.0.1:{http.server_port}", answers)
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield script
        http.shutdown()
        thread.join()
