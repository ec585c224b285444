"""The addresses and host names under which a server without authentication may be reached: only this machine's own."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from timestore_pipeline.errors import ForeignHost, InvalidSettings


def check_host(is_open: bool, hosts: Sequence[str]) -> None:
    """is_open: the server requires no token. hosts: values of the request's `Host` headers.

    A web page could resolve its own host name to this machine and make the visitor's browser send requests as if they
    belonged to the page's site (DNS rebinding); Host is then the page's name. Raises `ForeignHost`. With a token, any
    host name is accepted: the page does not know the token.
    """
    if is_open and (len(hosts) != 1 or not _names_this_machine(hosts[0])):
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


def check_binding(host: str, is_open: bool) -> None:
    """Raises `InvalidSettings` when a server that requires no token would be reachable from other machines."""
    if is_open and not is_loopback(host):
        unset = "TIMESTORE_API_TOKEN is unset, and so is TIMESTORE_API_TOKENS_FILE"
        raise InvalidSettings([f"{unset}; --host {host} can be reached from other machines: set one of them"])


def is_loopback(host: str) -> bool:
    """Whether every address of `host` is this machine's own; False for a name that cannot be resolved."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)
