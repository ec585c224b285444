"""Whether who is told about the queue can be reached: the Pushgateway and Dagster's web server."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator

from timestore_pipeline.monitoring.telemetry.delivery import Address
from timestore_pipeline.monitoring.telemetry.push import DEADLINE
from timestore_pipeline.tools.doctor.deployment import Deployment
from timestore_pipeline.tools.doctor.finding import Finding, failed, ok

_AGENT = {"User-Agent": "timestore-doctor"}


class _Refused(urllib.request.HTTPRedirectHandler):
    """A push follows no redirect, so what answers with one does not work; nor is it for another host's eyes."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_Refused)


def pushgateway(deployment: Deployment) -> Iterator[Finding]:
    """Alerts are only as alive as the way their samples take."""
    unset = "metrics are scraped, from `timestore serve` or a text file"
    yield _asked(deployment.settings.pushgateway_url, "TIMESTORE_PUSHGATEWAY_URL", "/-/ready", unset)


def webserver(deployment: Deployment) -> Iterator[Finding]:
    """It is asked to load the definitions anew when a dataset is new."""
    unset = "an operator reloads the definitions for new datasets"
    yield _asked(deployment.settings.dagster_webserver_url, "TIMESTORE_DAGSTER_WEBSERVER_URL", "/server_info", unset)


def _asked(url: str | None, variable: str, path: str, unset: str) -> Finding:
    if not url:
        return ok(f"{variable} is unset: {unset}")
    return _answers(url, path, f"start it or correct {variable}; flushes go on meanwhile")


def _answers(url: str, path: str, remedy: str) -> Finding:
    address = Address.of(url)
    request = urllib.request.Request(address.shown + path, headers={**_AGENT, **address.headers()})
    try:
        with _OPENER.open(request, timeout=DEADLINE) as answer:
            return ok(f"{address.shown} answers {answer.status}")
    except urllib.error.HTTPError as error:
        with error:
            return failed(f"{address.shown} answers {error.code} {error.reason} to {path}", remedy)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return failed(f"{address.shown} does not answer: {getattr(error, 'reason', None) or error}", remedy)
