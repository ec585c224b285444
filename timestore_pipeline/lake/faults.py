"""Translates failures of Delta, filesystem and object store into errors grouped by what the caller should do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deltalake.exceptions import DeltaError

from timestore_pipeline.errors import (
    AccessDenied,
    DiskFull,
    InvalidData,
    OutcomeUnknown,
    RetryLater,
    TimestoreError,
    UnreadableTable,
    UnsupportedTable,
)
from timestore_pipeline.lake.features import FEATURE
from timestore_pipeline.system.durable import is_disk_full

DELTA_FAULTS = (DeltaError, OSError, ValueError)  # all that deltalake raises for a table or a store that misbehaves

_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)
_UNSUPPORTED = ("Unsupported table features", "Kernel error: Unsupported:")
_TOO_DEEP = ("too deeply nested", "recursion limit")


def _is_refused(error: Exception) -> bool:
    number = getattr(error, "errno", None)
    return number in _REFUSALS or any(f"os error {refusal})" in str(error) for refusal in _REFUSALS)


def _refused(subject: str, error: Exception) -> AccessDenied:
    return AccessDenied(
        f"the system refuses {subject}: {summary(error)}",
        hint="give the user that runs flushes write access to the lake's folder, or correct TIMESTORE_LAKE_URI",
    )


def _file_for_folder(uri: str) -> Path | None:
    """A file that lies where the table's folder, its log or a folder above should be; in a bucket there is none."""
    log = Path(uri) / "_delta_log"
    return None if "://" in uri else next((path for path in (log, *log.parents) if path.is_file()), None)


def _in_the_way(file: object) -> UnreadableTable:
    return UnreadableTable(
        f"{file} is a file where the lake needs a folder",
        hint="move it out of the lake, and run `timestore verify`; staged rows stay staged",
    )


def is_unsupported(error: Exception) -> bool:
    return any(phrase in str(error) for phrase in _UNSUPPORTED)


def lacks_feature(error: Exception) -> bool:
    """Whether a column of the table demands the feature `timestampNtz`, which its protocol does not have."""
    return f"'{FEATURE}' feature" in str(error)


def _feature_lacking(uri: str) -> UnreadableTable:
    return UnreadableTable(
        f"the table {uri} has timestamps without time zone, and its protocol lacks the feature {FEATURE}: no reader"
        " can open it",
        hint=f"add the feature, in Spark: ALTER TABLE delta.`{uri}` SET TBLPROPERTIES"
        f" ('delta.feature.{FEATURE}' = 'supported'); staged rows stay staged",
    )


def unsupported(uri: str, error: Exception) -> UnsupportedTable:
    return UnsupportedTable(
        f"the table {uri} uses features that this release does not support: {summary(error)}",
        hint="remove them from the table with the tool that added them, or move the table out of the lake; staged rows"
        " stay staged",
    )


def _lost_link(uri: str) -> RetryLater | None:
    """A link whose target is missing: usually a disk that is not mounted."""
    links = [] if "://" in uri else [path for path in (Path(uri), *Path(uri).parents) if path.is_symlink()]
    for link in links:
        if not link.exists():
            hint = "mount the link's target, or repair the link; staged rows stay staged"
            return RetryLater(f"the lake's folder {link} is a link to {link.readlink()}, which is missing", hint=hint)
    return None


def disk_full(subject: str, error: Exception) -> DiskFull:
    return DiskFull(
        f"no space left in the lake for {subject}: {summary(error)}",
        hint="make room; staged rows stay staged and are published by a later flush",
    )


def not_written(subject: str, error: OSError) -> TimestoreError:
    """A file of the lake could not be written; no commit refers to it."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return _in_the_way(error.filename)
    if _is_refused(error):
        return _refused(subject, error)
    if any(phrase in str(error) for phrase in _TOO_DEEP):
        hint = "flatten that column in the data"
        return InvalidData(f"{subject} cannot be written, one of its columns is nested too deeply: {error}", hint=hint)
    return RetryLater(f"{subject} could not be written: {error}", hint="see the kernel's log for the disk's error")


def not_deleted(subject: str, error: OSError) -> TimestoreError:
    """A file that no commit refers to could not be deleted."""
    if _is_refused(error):
        return _refused(subject, error)
    return RetryLater(f"{subject} could not be deleted: {error}", hint="it only takes up space; try again")


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Translate errors of reading a table's log; wrap uses of a snapshot, too: it reads parts of the log lazily."""
    try:
        yield
    except DELTA_FAULTS as error:
        raise unreadable(uri, error) from error


def unreadable(uri: str, error: Exception) -> TimestoreError:
    """The table could not be opened: a damaged log, or a store that denies access or does not answer."""
    if file := _file_for_folder(uri):
        return _in_the_way(file)
    if _is_refused(error):
        return _refused(uri, error)
    if isinstance(error, OSError):
        return _lost_link(uri) or RetryLater(f"the lake does not answer for {uri}: {summary(error)}")
    if lacks_feature(error):
        return _feature_lacking(uri)
    if is_unsupported(error):
        return unsupported(uri, error)
    return UnreadableTable(
        f"the Delta log of {uri} cannot be read: {summary(error)}",
        hint="nothing was deleted; restore the damaged file of _delta_log from a backup, or move the whole table out of"
        " the lake: the next flush creates a new one",
    )


def not_committed(uri: str, error: Exception) -> TimestoreError:
    """A commit failed, and the log, read afterwards, does not contain it."""
    if file := _file_for_folder(uri):
        return _in_the_way(file)
    if is_disk_full(error):
        return disk_full(f"the Delta log of {uri}", error)
    if _is_refused(error):
        return _refused(uri, error)
    if (lost := _lost_link(uri)) is not None:
        return lost
    return RetryLater(
        f"commit to {uri} failed: {summary(error)}",
        hint="publish again, or burn the epoch before its batches are released: a late request may still arrive",
    )


def unknown(uri: str, epoch: int, error: Exception) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"epoch {epoch} may or may not be in {uri}: {summary(error)}",
        hint="keep its files; `timestore recover` reads the Delta log again",
    )


def summary(error: Exception) -> str:
    """The message on one line, without the backtrace deltalake appends."""
    message = str(error).split("\n   0: ")[0]
    return " ".join(part for line in message.splitlines() if (part := line.replace("\x1b[31m↳\x1b[0m", "").strip()))
