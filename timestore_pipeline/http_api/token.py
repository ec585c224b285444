"""The bearer token: who may come in, and where a server without one may listen."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Sequence

from pydantic import SecretStr

from timestore_pipeline.errors import Forbidden, InvalidSettings, Unauthenticated


def check_token(token: SecretStr | None, authorizations: Sequence[str]) -> None:
    """authorizations: values of the request's `Authorization` headers. No token set = everybody may.

    Raises `Unauthenticated` without exactly one bearer token, `Forbidden` for a wrong one. Compares in constant time.
    """
    if token is None:
        return
    scheme, _, given = authorizations[0].partition(" ") if len(authorizations) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not given.strip():
        raise Unauthenticated("the request has no bearer token", hint="send 'Authorization: Bearer <token>'")
    expected = token.get_secret_value().encode()
    if not hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), expected):
        raise Forbidden("the bearer token is wrong", hint="it must be the server's TIMESTORE_API_TOKEN")


def check_binding(host: str, token: SecretStr | None) -> None:
    """Raises `InvalidSettings` when a server without a token would be reachable from other machines."""
    if token is None and not is_loopback(host):
        raise InvalidSettings(
            [f"TIMESTORE_API_TOKEN is unset, and --host {host} can be reached from other machines: set a token"]
        )


def is_loopback(host: str) -> bool:
    """Whether every address of `host` is this machine's own; a name nobody knows is not."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)
