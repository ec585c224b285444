"""Every door a batch can come in by, in this process: each raises what a producer there would be told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.values.sources import File
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.doors.http.body_reading import Job, read_body
from timestore_pipeline.doors.http.formats import FORMATS
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.doors.landing.intake import Intake
from timestore_pipeline.ingest.staging_loop import Inputs, StagingLoop
from timestore_pipeline.ingest.trial import Trial

_MOST_BYTES = 1 << 24


class _OneTrial(Trial):
    """For all files of a place: a landing run that has one file would start a process for it."""

    def __exit__(self, *_: object) -> None:
        """It goes on."""


@dataclass
class Workplace:
    """Where the doors of one staging directory have their files."""

    home: Path
    settings: Settings
    staging: StagingManager
    trial: Trial = field(default_factory=_OneTrial)
    _count: itertools.count[int] = field(default_factory=itertools.count)

    def folder(self) -> Path:
        """A new one."""
        path = self.home / f"work-{next(self._count)}"
        path.mkdir()
        return path


def enqueue(place: Workplace, dataset: str, data: Any) -> None:
    """Python."""
    place.staging.enqueue(dataset, data)


def ingest(place: Workplace, dataset: str, file: File) -> None:
    """As `timestore ingest` does."""
    path = place.folder() / f"file{file.suffix}"
    path.write_bytes(file.content)
    loop = StagingLoop(place.staging, dataset, 10_000, None, lambda _: None)
    loop.run(Inputs.opened(place.staging, dataset, [path], {}).as_known_now())


def http(place: Workplace, dataset: str, file: File) -> None:
    """As the HTTP API does: a reader turns the body into an Arrow stream, which the server stages."""
    folder = place.folder()
    body, rows = folder / "sent", folder / "rows"
    body.write_bytes(file.content)
    hint = next(known.hint for known in FORMATS if known.suffix == file.suffix)
    reading = place.staging.reading(dataset)
    read_body(Job(body, file.suffix, "identity", hint, rows, _MOST_BYTES, reading))
    with pa.OSFile(str(rows)) as stream:
        place.staging.enqueue(dataset, pa.ipc.open_stream(stream).read_all())


def landing(place: Workplace, dataset: str, file: File) -> None:
    """As a landing run does."""
    assert place.settings.landing_directory is not None
    folder = place.settings.landing_directory / dataset
    folder.mkdir(exist_ok=True)
    path = folder / f"file-{next(place._count)}{file.suffix}"
    path.write_bytes(file.content)
    landing_folder = LandingFolder(place.settings.landing_directory, place.settings.landing_settle)
    for outcome in Intake(landing_folder, place.staging, trial=place.trial).run([dataset]):
        if outcome.error is not None:
            raise outcome.error


Door = Callable[[Workplace, str, Any], None]
FILE_DOORS: dict[str, Door] = {"ingest": ingest, "http": http, "landing": landing}
DOORS: dict[str, Door] = {"enqueue": enqueue, **FILE_DOORS}
