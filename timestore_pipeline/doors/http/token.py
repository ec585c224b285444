"""The bearer token, and the addresses and host names under which a server without a token may be reached."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from pydantic import SecretStr

from timestore_pipeline.errors import Forbidden, ForeignHost, InvalidSettings, Unauthenticated


def check_token(token: SecretStr | None, authorizations: Sequence[str]) -> None:
    """authorizations: values of the request's `Authorization` headers. token None = no authentication.

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


def check_host(token: SecretStr | None, hosts: Sequence[str]) -> None:
    """hosts: values of the request's `Host` headers. With a token, any host name is accepted.

    Without one, a web page could resolve its own host name to this machine and make the visitor's browser send requests
    as if they belonged to the page's site (DNS rebinding); Host is then the page's name. Raises `ForeignHost`.
    """
    if token is None and (len(hosts) != 1 or not _names_this_machine(hosts[0])):
        raise ForeignHost(
            "without a token this server answers to localhost, 127.0.0.1 and [::1] only",
            hint="use one of these in the address, or set TIMESTORE_API_TOKEN and send it",
        )


@lru_cache(64)
def _names_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host.strip()}").hostname if "@" not in host else None
        return name == "localhost" or ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return False


def check_binding(host: str, token: SecretStr | None) -> None:
    """Raises `InvalidSettings` when a server without a token would be reachable from other machines."""
    if token is None and not is_loopback(host):
        raise InvalidSettings(
            [f"TIMESTORE_API_TOKEN is unset, and --host {host} can be reached from other machines: set a token"]
        )


def is_loopback(host: str) -> bool:
    """Whether every address of `host` is this machine's own; False for a name that cannot be resolved."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)
