"""TLS of the HTTP server: its certificate and key, read again when they change. New connections get the new one."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from timestore_pipeline.doors.access.reloading import Reloaded, read_secret_file
from timestore_pipeline.errors import InvalidSettings, ServerFileRefused
from timestore_pipeline.settings import Settings, variable

_CERTIFICATE, _KEY = "api_tls_certificate_file", "api_tls_key_file"
_TURNS = 10
_HINT = "give a PEM file of the certificate and those that signed it, and one of its key, without a password"


def server_certificate(settings: Settings) -> Reloaded[ssl.SSLContext] | None:
    """None = plain HTTP. Raises `InvalidSettings` for a key without a certificate, and `ServerFileRefused`."""
    certificate, key = settings.api_tls_certificate_file, settings.api_tls_key_file
    if certificate is None and key is not None:
        raise InvalidSettings([f"{variable(_KEY)} is set, and {variable(_CERTIFICATE)} is not: set it, too"])
    if certificate is None:
        return None
    paths = [certificate] if key is None else [certificate, key]
    return Reloaded("certificate", paths, lambda: _context(paths))


def _context(paths: Sequence[Path]) -> ssl.SSLContext:
    """paths: the certificate's file, and the key's if it is another one."""
    certificate, key = paths[0], paths[-1]
    read_secret_file(key, f"{variable(_KEY if len(paths) > 1 else _CERTIFICATE)}={key}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # without it, OpenSSL asks on the terminal
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        what = f"{variable(_CERTIFICATE)}={certificate}"
        raise ServerFileRefused(f"{what}, with the key in {key}, cannot be used: {reason}", hint=_HINT) from error
    return context


def valid_until(server: ssl.SSLContext, certificate: Path) -> datetime:
    """The end of the certificate that clients get, by a handshake in memory.

    certificate: trusted for it. Raises `ssl.SSLError` for one that clients refuse, as it has expired.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_TURNS):
        if all([_is_ready(end) for end in ends]):  # noqa: C419  # both, one after the other
            break
    found = ends[0].getpeercert()
    assert found, "a handshake has ended after three turns"
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)


def _is_ready(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
