"""Asks Dagster's web server to reload the definitions, as a click on Reload does.

Dagster has no way to add an asset to a loaded code location. The sensor does not wait for the answer, because the
reload replaces the very code server that runs the sensor.
"""

import http.client
import json
import logging
import urllib.request

LOCATION = "timestore_pipeline"
_PATIENCE = 1.0  # seconds; the request is accepted in milliseconds and answered after the reload
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
_MOST_SHOWN = 500  # characters of a refusal

_log = logging.getLogger(__name__)


def ask_for_reload(webserver_url: str, location: str = LOCATION) -> bool:
    """False, with the reason in the log, when the server refuses or cannot be reached; never raises."""
    try:
        outcome = _post(f"{webserver_url.rstrip('/')}/graphql", location)
    except TimeoutError:
        return True
    except (OSError, ValueError, http.client.HTTPException) as error:
        _log.warning("the web server at %s was not asked to reload: %s", webserver_url, error)
        return False
    if _ACCEPTED not in outcome:
        _log.warning("the web server at %s refused to reload: %s", webserver_url, outcome[:_MOST_SHOWN])
        return False
    return True


def _post(url: str, location: str) -> str:
    body = json.dumps({"query": _MUTATION, "variables": {"location": location}}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
        return str(response.read().decode(errors="replace"))
