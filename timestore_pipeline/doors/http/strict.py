"""Refuses, on every path, requests with two lengths and changes that a web page of another site asks for.

Both end the connection: a proxy that believes the other length takes the following bytes for another request.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request

from timestore_pipeline.errors import ForeignSite, UnreadableInput

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def check(request: Request) -> None:
    """To be called before anything else; raises `UnreadableInput` or `ForeignSite`."""
    check_framing(request)
    check_site(request)


def check_framing(request: Request) -> None:
    """Raises `UnreadableInput` if a proxy may have used another length than this server."""
    if "transfer-encoding" not in request.headers:
        return
    if "content-length" in request.headers:
        raise UnreadableInput("the body has two lengths", hint="send one of Content-Length and Transfer-Encoding")
    if request.scope["http_version"] != "1.1":
        raise UnreadableInput("HTTP/1.0 has no Transfer-Encoding", hint="send Content-Length, or HTTP/1.1")


def check_site(request: Request) -> None:
    """Raises `ForeignSite` for a change that a browser requests for a page of another site.

    The token does not prevent this: such a page can reach a server that requires none.
    """
    if request.method in _READING:
        return
    sites = request.headers.getlist("sec-fetch-site")
    origins = request.headers.getlist("origin")
    if "cross-site" in sites or not _are_ours(origins, request.headers.getlist("host")):
        raise ForeignSite(
            "the request comes from a web page of another site", hint="send it from a program, or a page here"
        )


def _are_ours(origins: Sequence[str], hosts: Sequence[str]) -> bool:
    try:
        return all(urlsplit(origin).netloc.lower() in {host.strip().lower() for host in hosts} for origin in origins)
    except ValueError:
        return False
