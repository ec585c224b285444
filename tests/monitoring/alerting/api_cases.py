"""Scenes of the alerts about HTTP servers, as in `cases.py`."""

from __future__ import annotations

from tests.monitoring.alerting.cases import Case
from tests.monitoring.alerting.scenes import Scene, of_server

SCRAPED = {of_server("tokens"): "2x99"}
RESTARTED = {of_server("tokens"): "_x60 2x39"}


def answered(right: str, status: str, token: str = "station-a") -> str:
    return of_server("requests_total", token=token, right=right, status=status)


def durations(fast: int, slow: int) -> dict[str, str]:
    """Requests per sample that stage a batch, within 10 ms and within 5 s."""
    steps = {"0.01": fast, "2.5": fast, "5.0": fast + slow, "+Inf": fast + slow}
    return {
        of_server("request_seconds_bucket", right="stage", le=bound): f"0+{step}x199" for bound, step in steps.items()
    }


API_CASES = [
    Case(
        "TimestoreApiErrors",
        "warning",
        Scene(  # one that grows, and one that appears with its first error
            "20m",
            SCRAPED | {answered("stage", "503"): "4x60 5x39", answered("read", "500"): "_x60 1x39"},
            ({"right": "stage", "status": "503"}, {"right": "read", "status": "500"}),
        ),
        Scene(  # long ago, other answers, and errors before this Prometheus first saw the server
            "20m",
            RESTARTED
            | {
                answered("stage", "503"): "4x20 5x79",
                answered("stage", "429"): "4x60 9x39",
                answered("read", "500"): "_x60 7x39",
            },
        ),
    ),
    Case(
        "TimestoreApiErrors",
        "page",
        Scene("20m", SCRAPED | {answered("stage", "507"): "0+2x99", answered("stage", "201"): "0+1x99"}, ({},)),
        Scene(  # half of them, and reads that fail alone
            "20m",
            SCRAPED
            | {
                answered("stage", "507"): "0+2x99",
                answered("stage", "201"): "0+2x99",
                answered("read", "500"): "0+9x99",
            },
        ),
    ),
    Case(
        "TimestoreApiRefused",
        "warning",
        Scene(
            "20m",
            SCRAPED | {answered("stage", "403"): "_x50 0+1x49", answered("read", "401", ""): "0+1x99"},
            (
                {"token": "station-a", "right": "stage", "status": "403"},
                {"token": "", "right": "read", "status": "401"},
            ),
        ),
        Scene("20m", SCRAPED | {answered("stage", "403"): "_x50 9x49", answered("read", "404"): "0+1x99"}),
    ),
    Case(
        "TimestoreApiBusy",
        "warning",
        Scene("20m", SCRAPED | {answered("stage", "429"): "4x60 5x39"}, ({"token": "station-a", "right": "stage"},)),
        Scene("20m", SCRAPED | {answered("stage", "429"): "4x20 5x79", answered("stage", "503"): "4x60 5x39"}),
    ),
    Case(
        "TimestoreApiSlow",
        "warning",
        Scene("40m", durations(fast=9, slow=1), ({"right": "stage"},)),
        Scene("40m", durations(fast=99, slow=1)),
    ),
    Case(
        "TimestoreApiFileRefused",
        "warning",
        Scene("20m", {of_server("file_refused", file="tokens"): "1x99"}, ({"file": "tokens"},)),
        Scene("20m", {of_server("file_refused", file="tokens"): "1x60 0x39"}),
    ),
]
