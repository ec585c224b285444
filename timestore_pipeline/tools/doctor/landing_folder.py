"""Whether dropped files get in: the folder, what lies in it that nobody will take, and what nobody has taken yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from timestore_pipeline import clock
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.tools.doctor.deployment import Deployment
from timestore_pipeline.tools.doctor.disk import durable_write
from timestore_pipeline.tools.doctor.finding import Finding, failed, ok, warning

_LATE = timedelta(minutes=10)  # a run of `ingest_files` takes five, then the next one begins
_TOLD = 3  # names


def landing_folder(deployment: Deployment) -> Iterator[Finding]:
    """Raises `LandingUnusable`, or `OSError` when it cannot be written."""
    if deployment.settings.landing_directory is None:
        yield ok("TIMESTORE_LANDING_DIRECTORY is unset: files are not taken from a folder")
        return
    folder = LandingFolder.of(deployment.settings)
    durable_write(folder.root)
    yield from _unmovable(folder)
    yield from _left_alone(folder)
    yield from _waiting(folder)
    yield ok(f"{folder.root} can be read and written, datasets: {len(folder.datasets())}")


def _unmovable(folder: LandingFolder) -> Iterator[Finding]:
    """Files get in, and away, by rename."""
    places = [place for place in folder.places() if place.is_dir()]
    denied = [place for place in places if not os.access(place, os.R_OK | os.W_OK | os.X_OK)]
    if denied:
        yield failed(f"no access to {_some(denied)}", "give the ingesting user access to it")
    if linked := [place for place in places if place.is_symlink()]:
        yield failed(f"{_some(linked)} is a link, and links are not followed", "put a folder in its place")
    apart = [place for place in places if place.stat().st_dev != folder.root.stat().st_dev]
    if apart:
        told = f"{_some(apart)} lies on another filesystem than {folder.root}"
        yield failed(told, "files are moved by rename: keep the whole landing folder on one filesystem")


def _left_alone(folder: LandingFolder) -> Iterator[Finding]:
    if strangers := folder.strangers():
        told = f"{_some([one.place for one in strangers])}: no dataset's folder, and never taken"
        yield warning(told, "`timestore landing status` says why; move files into a folder named after their dataset")
    rejected = sum(len(folder.rejected(dataset)) for dataset in folder.put_away())
    if rejected:
        yield warning(f"{rejected} rejected file(s) wait for somebody", "`timestore landing status` says why")


def _waiting(folder: LandingFolder) -> Iterator[Finding]:
    late = clock.now() - _LATE
    files = [file for dataset in folder.datasets() for file in folder.files(dataset) if file.not_before < late]
    if files:
        told = f"{len(files)} file(s) are ready for more than {_LATE.total_seconds():.0f} s, as {files[0].name}"
        yield failed(told, "switch landing_sensor on and start Dagster, or run `timestore landing ingest`")


def _some(found: list[Path] | list[str]) -> str:
    told = ", ".join(str(one) for one in found[:_TOLD])
    return told if len(found) <= _TOLD else f"{told} and {len(found) - _TOLD} more"
