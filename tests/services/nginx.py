"""A real nginx with the configuration that docs/security.md gives, on other ports and with a certificate of tests."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.documents import ROOT
from tests.services.certificates import Certificate
from tests.services.require import require_command
from timestore_pipeline.system import clock

_FRAME = """
daemon off;
worker_processes 1;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {documented}
}}
"""


@contextmanager
def nginx(folder: Path, upstream: str, certificate: Certificate) -> Iterator[str]:
    """upstream: `host:port`. Yields the proxy's https:// address."""
    program = require_command("nginx", remedy="apt-get install nginx")
    port = _free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(_FRAME.format(folder=folder, documented=_documented(upstream, port, certificate)))
    command = [program, "-p", folder, "-e", folder / "error.log", "-c", configuration]
    with subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process, folder)
            yield f"https://127.0.0.1:{port}"
        finally:
            process.terminate()


def _documented(upstream: str, port: int, certificate: Certificate) -> str:
    page = (ROOT / "docs" / "security.md").read_text()
    [found] = re.findall(r"^```nginx\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for written, ours in (
        ("server 127.0.0.1:8451;", f"server {upstream};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/letsencrypt/live/ingest.example.com/fullchain.pem", str(certificate.certificate)),
        ("/etc/letsencrypt/live/ingest.example.com/privkey.pem", str(certificate.key)),
    ):
        assert found.count(written) == 1, written
        found = found.replace(written, ours)
    return str(found)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = clock.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            assert process.poll() is None, (folder / "error.log").read_text()
            assert clock.monotonic() < deadline
            clock.sleep(0.05)
        else:
            return
