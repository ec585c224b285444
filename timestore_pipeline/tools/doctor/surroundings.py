"""What a staging directory works with: the lake, the landing folder, the Pushgateway, Dagster's web server.

In a lake's folder, the check writes an unnamed file. A bucket has no unnamed objects: the check writes one small object
beside the tables and deletes it at once; no reader looks at it.
"""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.lake.store import Location
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.monitoring.telemetry.delivery import Address
from timestore_pipeline.monitoring.telemetry.push import DEADLINE
from timestore_pipeline.settings import storage_options
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.examination import CheckFinding, Deployment, failed, ok, warning
from timestore_pipeline.tools.doctor.host import durable_write, in_the_way, nearest_folder

_AGENT = {"User-Agent": "timestore-doctor"}
_CREDENTIALS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL and their permissions"
_LATE = timedelta(minutes=10)  # a run of `ingest_files` takes five, then the next one begins
_MOST_NAMED = 3  # names


class _Refused(urllib.request.HTTPRedirectHandler):
    """A push follows no redirect, so a gateway that redirects does not work; no other host may see the credentials."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_Refused)


def pushgateway(deployment: Deployment) -> Iterator[CheckFinding]:
    """Without a reachable gateway, pushed metrics are missing and alerts on them do not fire."""
    unset = "metrics are scraped, from `timestore serve` or a text file"
    yield _check(deployment.settings.pushgateway_url, "TIMESTORE_PUSHGATEWAY_URL", "/-/ready", unset)


def webserver(deployment: Deployment) -> Iterator[CheckFinding]:
    """`dataset_watch_sensor` asks it to reload the definitions when a dataset is new."""
    unset = "only a code server is asked to reload the definitions for new datasets"
    yield _check(deployment.settings.dagster_webserver_url, "TIMESTORE_DAGSTER_WEBSERVER_URL", "/server_info", unset)


def _check(url: str | None, variable: str, path: str, unset: str) -> CheckFinding:
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


def lake_access(deployment: Deployment) -> Iterator[CheckFinding]:
    """Read, then write; raises `RetryLater` when the store does not answer."""
    uri = deployment.settings.lake_uri
    began = clock.monotonic()
    tables = len(Lake(uri, storage_options()).datasets())
    read = f"{uri} answers in {(clock.monotonic() - began) * 1000:.0f} ms, tables: {tables}"
    location = Location.parse(uri, storage_options())
    store = location.store()
    remedy = _CREDENTIALS if store.root is None else "give this user write access to it"
    try:
        if store.root is None:
            _try_object(location)
        elif (place := in_the_way(store.root)) is not None:
            raise NotADirectoryError(f"{place} is no folder")
        else:
            durable_write(nearest_folder(store.root))
    except OSError as error:
        yield failed(f"{read}; it takes no file: {error}", remedy)
    else:
        yield ok(f"{read}; it can be written")


def _try_object(location: Location) -> None:
    assert location.filesystem is not None, "a store without a folder has a filesystem"
    path = f"{location.path}/_timestore-doctor-{uuid.uuid4().hex[:12]}"
    with location.filesystem.open_output_stream(path) as stream:
        stream.write(b"timestore doctor was here and may write\n")
    location.filesystem.delete_file(path)


def landing_folder(deployment: Deployment) -> Iterator[CheckFinding]:
    """Raises `LandingUnusable`, or `OSError` when it cannot be written."""
    if deployment.settings.landing_directory is None:
        yield ok("TIMESTORE_LANDING_DIRECTORY is unset: files are not taken from a folder")
        return
    folder = LandingFolder.of(deployment.settings)
    durable_write(folder.root)
    yield from _unmovable(folder)
    yield from _not_taken(folder)
    yield from _waiting(folder)
    yield ok(f"{folder.root} can be read and written, datasets: {len(folder.datasets())}")


def _unmovable(folder: LandingFolder) -> Iterator[CheckFinding]:
    """Files enter and leave these folders by rename."""
    places = [place for place in folder.places() if place.is_dir()]
    denied = [place for place in places if not os.access(place, os.R_OK | os.W_OK | os.X_OK)]
    if denied:
        yield failed(f"no access to {_some(denied)}", "give the ingesting user access to it")
    if linked := [place for place in places if place.is_symlink()]:
        yield failed(f"{_some(linked)} is a link, and links are not followed", "put a folder in its place")
    apart = [place for place in places if place.stat().st_dev != folder.root.stat().st_dev]
    if apart:
        seen = f"{_some(apart)} lies on another filesystem than {folder.root}"
        yield failed(seen, "files are moved by rename: keep the whole landing folder on one filesystem")


def _not_taken(folder: LandingFolder) -> Iterator[CheckFinding]:
    if strangers := folder.strangers():
        seen = f"{_some([one.place for one in strangers])}: no dataset's folder, and never taken"
        yield warning(seen, "`timestore landing status` shows why; move files into a folder named after their dataset")
    rejected = sum(len(folder.rejected(dataset)) for dataset in folder.put_away())
    if rejected:
        yield warning(f"{rejected} rejected file(s) wait for an operator", "`timestore landing status` shows why")


def _waiting(folder: LandingFolder) -> Iterator[CheckFinding]:
    late = clock.now() - _LATE
    files = [file for dataset in folder.datasets() for file in folder.files(dataset) if file.not_before < late]
    if files:
        seen = f"{len(files)} file(s) are ready for more than {_LATE.total_seconds():.0f} s, such as {files[0].name}"
        yield failed(seen, "switch landing_sensor on and start Dagster, or run `timestore landing ingest`")


def _some(found: list[Path] | list[str]) -> str:
    named = ", ".join(str(one) for one in found[:_MOST_NAMED])
    return named if len(found) <= _MOST_NAMED else f"{named} and {len(found) - _MOST_NAMED} more"
