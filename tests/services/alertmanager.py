"""A real Alertmanager for tests: Debian's `prometheus-alertmanager`, and the webhook it delivers to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from demo.processes import free_port
from demo.stack import alertmanager_command, alertmanager_config
from tests.services.require import require_command
from tests.services.web import running
from timestore_pipeline.system import clock

_DEADLINE = 200.0  # seconds for an alert to arrive


@dataclass
class Webhook:
    """What an on-call system would have received."""

    url: str
    alerts: list[dict[str, Any]] = field(default_factory=list)

    def delivered(
        self, alert: str, status: str = "firing", meanwhile: Callable[[], None] = lambda: None, **labels: str
    ) -> dict[str, Any]:
        """Wait for an alert with these labels and return it; fail with all that came when it does not.

        meanwhile: what goes on while one waits.
        """
        wanted = {"alertname": alert, **labels}.items()
        deadline = clock.monotonic() + _DEADLINE
        while True:
            for found in list(self.alerts):
                if found["status"] == status and wanted <= found["labels"].items():
                    return found
            assert clock.monotonic() < deadline, f"{alert} is not {status}; there came {self._names()}"
            meanwhile()
            clock.sleep(0.1)

    def _names(self) -> set[tuple[str, str]]:
        return {(found["labels"]["alertname"], found["status"]) for found in self.alerts}


@contextmanager
def webhook() -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.alerts.extend(body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Silence: standard error is the test's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Webhook(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving(folder: Path, deliver_to: str) -> Iterator[str]:
    """The url of an Alertmanager that delivers at once; skip or fail when there is no binary."""
    require_command("prometheus-alertmanager", remedy="apt-get install prometheus-alertmanager")
    config = folder / "alertmanager.yml"
    config.write_text(json.dumps(alertmanager_config(deliver_to, wait="0s")))
    address = f"127.0.0.1:{free_port()}"
    command = alertmanager_command(config, folder / "alertmanager", address)
    with running(command, f"http://{address}", folder / "alertmanager.log") as url:
        yield url
