"""Whether the services that this product calls can be reached: the Pushgateway and Dagster's web server."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator

from timestore_pipeline.monitoring.telemetry.delivery import Address
from timestore_pipeline.monitoring.telemetry.push import DEADLINE
from timestore_pipeline.tools.doctor.examination import Deployment, Finding, failed, ok

_AGENT = {"User-Agent": "timestore-doctor"}


class _Refused(urllib.request.HTTPRedirectHandler):
    """A push follows no redirect, so a gateway that redirects does not work; no other host may see the credentials."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_Refused)


def pushgateway(deployment: Deployment) -> Iterator[Finding]:
    """Without a reachable gateway, pushed metrics are missing and alerts on them do not fire."""
    unset = "metrics are scraped, from `timestore serve` or a text file"
    yield _check(deployment.settings.pushgateway_url, "TIMESTORE_PUSHGATEWAY_URL", "/-/ready", unset)


def webserver(deployment: Deployment) -> Iterator[Finding]:
    """`dataset_watch_sensor` asks it to reload the definitions when a dataset is new."""
    unset = "an operator reloads the definitions for new datasets"
    yield _check(deployment.settings.dagster_webserver_url, "TIMESTORE_DAGSTER_WEBSERVER_URL", "/server_info", unset)


def _check(url: str | None, variable: str, path: str, unset: str) -> Finding:
    if not url:
        return ok(f"{variable} is unset: {unset}")
    remedy = f"start it or correct {variable}; flushes continue meanwhile"
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
