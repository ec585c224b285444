"""Whether the lake can be read and written.

In a folder, the check writes an unnamed file. A bucket has no unnamed objects: the check writes one small object beside
the tables and deletes it at once; no reader looks at it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from timestore_pipeline import clock
from timestore_pipeline.lake.location import Location
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.settings import storage_options
from timestore_pipeline.tools.doctor.disk import durable_write, in_the_way, nearest_folder
from timestore_pipeline.tools.doctor.examination import Deployment, Finding, failed, ok

_CREDENTIALS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL and their permissions"


def lake_access(deployment: Deployment) -> Iterator[Finding]:
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
