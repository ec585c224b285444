"""Which errors are the system's word about a file, and not the file's content or a row's.

DuckDB tells the system's errors in words only. They are looked for where the system speaks: an error about data may
quote a value, and a value can say anything.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from timestore_pipeline.errors import AccessDenied, DiskFailing, DiskFull, RetryLater, TimestoreError
from timestore_pipeline.system.durable import is_disk_full

_REFUSED = tuple(map(os.strerror, (errno.EACCES, errno.EPERM, errno.EROFS)))
_NO_DESCRIPTORS = tuple(map(os.strerror, (errno.EMFILE, errno.ENFILE)))
_NO_MEMORY = (os.strerror(errno.ENOMEM),)
_FAILING = tuple(
    map(
        os.strerror,
        (
            *(errno.EIO, errno.EREMOTEIO, errno.ENXIO, errno.ENODEV),  # a disk
            *(errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN, errno.ENOLCK),  # a network filesystem
            *(errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.EFBIG),
        ),
    )
)


def system_error(error: Exception, what: str, dataset: str | None = None) -> TimestoreError | None:
    """The typed error when the system refused or failed; None when it is about content. what: the file or the work."""
    import duckdb  # now: most processes that look at a queue never meet an error

    about_data = (duckdb.DataError, duckdb.ProgrammingError, duckdb.IntegrityError)
    if isinstance(error, about_data):
        return None
    message = str(error)
    if is_disk_full(error):
        return DiskFull(f"no space left for {what}", dataset=dataset, hint="free space, then try again")
    if _says(message, _REFUSED):
        hint = "run as the owner of its folder, or give that user read and write access; nothing was set aside"
        return AccessDenied(f"the system refuses {what}: {message}", dataset=dataset, hint=hint)
    if _says(message, _NO_DESCRIPTORS):
        hint = "raise the limit on open files (ulimit -n), or write to fewer datasets at once"
        return RetryLater(f"no more files can be opened, {what} neither", dataset=dataset, hint=hint)
    if isinstance(error, duckdb.OutOfMemoryException) or _says(message, _NO_MEMORY):
        return RetryLater(f"not enough memory for {what}: {message}", dataset=dataset, hint="lower the load")
    if _says(message, _FAILING):
        return disk_failing(error, what, dataset)
    return None


def disk_failing(error: Exception, what: str, dataset: str | None) -> DiskFailing:
    hint = "the kernel's log has the disk's error; if a file cannot be saved, move it away: its batches are quarantined"
    return DiskFailing(f"reading or writing failed for {what}: {error}", dataset=dataset, hint=hint)


@contextmanager
def interruptions() -> Iterator[None]:
    """DuckDB's word for Ctrl-C as Python's: as an ordinary error it would not end a loop."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt("interrupted during a query") from error
        raise


def _says(message: str, signs: tuple[str, ...]) -> bool:
    return any(sign in message for sign in signs)
