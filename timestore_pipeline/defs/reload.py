"""Asks for a reload of the definitions, as a click on Reload does.

Dagster has no way to add an asset to a loaded code location. A code server of `dagster dev` or `dagster code-server
start` is asked itself: it starts a new process with the new definitions, and web server and daemon notice that within
seconds. Where both of them run the definitions in processes of their own, only the web server can be asked. The sensor
does not wait for the answer, because the reload replaces the very process that runs the sensor.
"""

import http.client
import json
import logging
import urllib.request
from collections.abc import Callable
from functools import partial

import grpc
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.remote_origin import CodeLocationOrigin, GrpcServerCodeLocationOrigin

LOCATION = "timestore_pipeline"
_PATIENCE = 1  # seconds; the request is accepted in milliseconds and answered after the reload
_MUTATION = """
mutation ($location: String!) {
  reloadRepositoryLocation(repositoryLocationName: $location) {
    __typename
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""
_ACCEPTED = "WorkspaceLocationEntry"  # the type of the answer, whether or not the load then succeeds
_MOST_READ = 64 << 10  # bytes; of an answer without an end as much as has arrived
_MOST_SHOWN = 500  # characters of a refusal

_log = logging.getLogger(__name__)


def reloading(origin: CodeLocationOrigin | None, webserver_url: str | None) -> Callable[[], bool] | None:
    """How to ask; False, with the reason in the log, when it is refused or nothing answers. None = there is no way."""
    if isinstance(origin, GrpcServerCodeLocationOrigin):
        return partial(ask_code_server, origin)
    return None if webserver_url is None else partial(ask_web_server, webserver_url)


def ask_code_server(origin: GrpcServerCodeLocationOrigin) -> bool:
    """A server of `dagster api grpc` accepts, and logs that it cannot reload."""
    try:
        origin.create_client().reload_code(timeout=_PATIENCE)
    except DagsterUserCodeUnreachableError as error:
        cause = error.__cause__
        if isinstance(cause, grpc.RpcError) and cause.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return True
        _log.warning("the code server at %s was not asked to reload: %s", origin.get_display_metadata(), error)
        return False
    return True


def ask_web_server(webserver_url: str, location: str = LOCATION) -> bool:
    """In GraphQL; never raises. A user and a password in the address are neither sent nor logged."""
    scheme, separator, rest = webserver_url.partition("://")
    address = scheme + separator + rest.rpartition("@")[2]
    try:
        outcome = _post(f"{address.rstrip('/')}/graphql", location)
    except TimeoutError:
        return True
    except (OSError, ValueError, http.client.HTTPException) as error:
        _log.warning("the web server at %s was not asked to reload: %s", address, error)
        return False
    if _ACCEPTED not in outcome:
        _log.warning("the web server at %s refused to reload: %s", address, outcome[:_MOST_SHOWN])
        return False
    return True


def _post(url: str, location: str) -> str:
    body = json.dumps({"query": _MUTATION, "variables": {"location": location}}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
        return str(response.read1(_MOST_READ).decode(errors="replace"))
