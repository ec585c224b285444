"""Certificates of this machine's own address, made by OpenSSL; each is its own CA."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.require import require_command


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    certificate: Path
    key: Path

    @property
    def settings(self) -> dict[str, Any]:
        return {"api_tls_certificate_file": self.certificate, "api_tls_key_file": self.key}


def certificate(folder: Path, name: str = "server", *, days: int = 30) -> Certificate:
    """days: until its end; below 0 it has expired."""
    openssl = require_command("openssl", remedy="apt-get install openssl, 3.0 or later")
    made = Certificate(folder / f"{name}.pem", folder / f"{name}-key.pem")
    request = folder / f"{name}.csr"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    signing = ["-req", "-in", request, "-signkey", made.key, "-copy_extensions", "copy", "-days", str(days)]
    for command in (
        ["req", *kind, *names, "-keyout", made.key, "-out", request],
        ["x509", *signing, "-out", made.certificate],  # `req` alone makes none that has expired
    ):
        subprocess.run([openssl, *map(str, command)], check=True, capture_output=True)
    made.key.chmod(0o600)
    return made
