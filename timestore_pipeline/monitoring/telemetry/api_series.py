"""The series of one running HTTP server. It counts them itself, so that only its own `/metrics` has them.

Counters begin at 0 with each start of the server, and one with other labels appears with its first increase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiSeries:
    """`labels` beside `shard`. A counter's name has its suffix, a histogram's has none."""

    name: str
    help: str
    labels: Sequence[str] = ()


REQUESTS = ApiSeries(
    "timestore_api_requests_total",
    "Answered requests that need a right; token is empty without a valid one.",
    ("token", "right", "status"),
)
REQUEST_SECONDS = ApiSeries(
    "timestore_api_request_seconds",
    "Time from a request's head to its answer, of requests that need a right and have it.",
    ("right",),
)
CONNECTIONS = ApiSeries("timestore_api_connections", "Open connections.")
CONNECTIONS_LIMIT = ApiSeries(
    "timestore_api_connections_limit", "Connections from which on idle ones give way to new ones."
)
TOKENS = ApiSeries("timestore_api_tokens", "Tokens in force; 0 = none is required.")
FILE_REFUSED = ApiSeries(
    "timestore_api_file_refused",
    "1 = the file was changed and refused, and its last good version is in force.",
    ("file",),
)

API_SERIES = (REQUESTS, REQUEST_SECONDS, CONNECTIONS, CONNECTIONS_LIMIT, TOKENS, FILE_REFUSED)
