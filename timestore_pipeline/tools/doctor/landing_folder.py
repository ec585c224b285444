"""Whether dropped files are ingested: access to the folder, files that are never taken, files that wait too long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from timestore_pipeline import clock
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.tools.doctor.disk import durable_write
from timestore_pipeline.tools.doctor.examination import Deployment, Finding, failed, ok, warning

_LATE = timedelta(minutes=10)  # a run of `ingest_files` takes five, then the next one begins
_MOST_NAMED = 3  # names


def landing_folder(deployment: Deployment) -> Iterator[Finding]:
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


def _unmovable(folder: LandingFolder) -> Iterator[Finding]:
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


def _not_taken(folder: LandingFolder) -> Iterator[Finding]:
    if strangers := folder.strangers():
        seen = f"{_some([one.place for one in strangers])}: no dataset's folder, and never taken"
        yield warning(seen, "`timestore landing status` shows why; move files into a folder named after their dataset")
    rejected = sum(len(folder.rejected(dataset)) for dataset in folder.put_away())
    if rejected:
        yield warning(f"{rejected} rejected file(s) wait for an operator", "`timestore landing status` shows why")


def _waiting(folder: LandingFolder) -> Iterator[Finding]:
    late = clock.now() - _LATE
    files = [file for dataset in folder.datasets() for file in folder.files(dataset) if file.not_before < late]
    if files:
        seen = f"{len(files)} file(s) are ready for more than {_LATE.total_seconds():.0f} s, such as {files[0].name}"
        yield failed(seen, "switch landing_sensor on and start Dagster, or run `timestore landing ingest`")


def _some(found: list[Path] | list[str]) -> str:
    named = ", ".join(str(one) for one in found[:_MOST_NAMED])
    return named if len(found) <= _MOST_NAMED else f"{named} and {len(found) - _MOST_NAMED} more"
