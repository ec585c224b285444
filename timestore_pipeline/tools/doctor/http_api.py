"""The files of `timestore serve`, as a starting server would read them; a running one keeps the last good version."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta

from timestore_pipeline.doors.access.certificate import server_certificate, valid_until
from timestore_pipeline.doors.access.gate import Gate
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.examination import CheckFinding, Deployment, failed, ok, warning

_RENEWED = timedelta(days=14)  # before their end; the usual tools renew certificates a month before
_RENEW = "renew it; a running server reads the new one by itself"


def http_api(deployment: Deployment) -> Iterator[CheckFinding]:
    """Raises `ServerFileRefused`, which names every wrong line."""
    gate = Gate.of(deployment.settings)
    if gate.is_open:
        yield ok("no token is set: `timestore serve` answers this machine only")
    else:
        yield ok(f"tokens of `timestore serve`: {', '.join(token.name for token in gate.tokens)}")


def tls(deployment: Deployment) -> Iterator[CheckFinding]:
    """Raises `ServerFileRefused`."""
    path, found = deployment.settings.api_tls_certificate_file, server_certificate(deployment.settings)
    if path is None or found is None:
        yield ok("TIMESTORE_API_TLS_CERTIFICATE_FILE is unset: `timestore serve` speaks plain HTTP")
        return
    try:
        end = valid_until(found.value, path)
    except ssl.SSLError as error:
        yield failed(f"clients refuse {path}: {getattr(error, 'verify_message', '') or error.reason}", _RENEW)
        return
    if end - clock.now() < _RENEWED:
        yield warning(f"{path} is valid only until {end:%Y-%m-%d %H:%M} UTC", _RENEW)
    else:
        yield ok(f"{path} is valid until {end:%Y-%m-%d}")
