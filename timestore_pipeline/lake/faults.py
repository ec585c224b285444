"""What went wrong in Delta, in the filesystem or in the object store, in terms of what the caller should do."""

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

DELTA_FAULTS = (DeltaError, OSError, ValueError)  # all that deltalake raises for a table or a store that misbehaves

_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)
_UNSUPPORTED = ("Unsupported table features", "Kernel error: Unsupported:")
_TOO_DEEP = ("too deeply nested", "recursion limit")
_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")


def is_disk_full(error: Exception) -> bool:
    """By number where there is one; DuckDB and deltalake only say it in words."""
    number = getattr(error, "errno", None)
    return number in (errno.ENOSPC, errno.EDQUOT) or any(phrase in str(error) for phrase in _FULL)


def _is_refused(error: Exception) -> bool:
    number = getattr(error, "errno", None)
    return number in _REFUSALS or any(f"os error {refusal})" in str(error) for refusal in _REFUSALS)


def _refused(what: str, error: Exception) -> AccessDenied:
    return AccessDenied(
        f"the system refuses {what}: {summary(error)}",
        hint="give the user that runs flushes write access to the lake's folder, or mend TIMESTORE_LAKE_URI",
    )


def _file_for_folder(uri: str) -> Path | None:
    """A file that lies where the table's folder, its log or a folder above should be; in a bucket there is none."""
    log = Path(uri) / "_delta_log"
    return None if "://" in uri else next((path for path in (log, *log.parents) if path.is_file()), None)


def _in_the_way(file: object) -> UnreadableTable:
    return UnreadableTable(
        f"{file} is a file, and a folder of the lake should be there",
        hint="look what it is, move it out of the lake, and run `timestore verify`; what is staged stays staged",
    )


def is_unsupported(error: Exception) -> bool:
    return any(phrase in str(error) for phrase in _UNSUPPORTED)


def lacks_feature(error: Exception) -> bool:
    """Whether a column of the table demands the feature `timestampNtz`, which its protocol does not have."""
    return f"'{FEATURE}' feature" in str(error)


def _feature_lacking(uri: str) -> UnreadableTable:
    return UnreadableTable(
        f"the table {uri} has timestamps without time zone, and its protocol lacks the feature {FEATURE}: no reader"
        " opens it",
        hint=f"add the feature, in Spark: ALTER TABLE delta.`{uri}` SET TBLPROPERTIES"
        f" ('delta.feature.{FEATURE}' = 'supported'); what is staged stays staged",
    )


def unsupported(uri: str, error: Exception) -> UnsupportedTable:
    return UnsupportedTable(
        f"the table {uri} uses features that nobody here knows: {summary(error)}",
        hint="take them off the table with the tool that put them there, or move the table out of the lake; what is"
        " staged stays staged",
    )


def _lost_link(uri: str) -> RetryLater | None:
    """A link that leads nowhere: a disk that is not mounted, most of the time."""
    links = [] if "://" in uri else [path for path in (Path(uri), *Path(uri).parents) if path.is_symlink()]
    for link in links:
        if not link.exists():
            hint = "mount what it leads to, or mend the link; what is staged stays staged"
            return RetryLater(f"the lake's folder {link} is a link to {link.readlink()}, which is not there", hint=hint)
    return None


def disk_full(what: str, error: Exception) -> DiskFull:
    return DiskFull(
        f"no space left in the lake for {what}: {summary(error)}",
        hint="make room; what is staged stays staged and is published by a later flush",
    )


def not_written(what: str, error: OSError) -> TimestoreError:
    """A file of the lake did not get to the disk; nothing names it."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return _in_the_way(error.filename)
    if _is_refused(error):
        return _refused(what, error)
    if any(phrase in str(error) for phrase in _TOO_DEEP):
        hint = "flatten that column in the data; a dataset has one only if an earlier release let it in"
        return InvalidData(f"{what} cannot be written, a column of it is nested too deeply: {error}", hint=hint)
    return RetryLater(f"{what} could not be written: {error}", hint="the kernel's log says what the disk had")


def not_deleted(what: str, error: OSError) -> TimestoreError:
    """A file that nothing names could not be removed."""
    if _is_refused(error):
        return _refused(what, error)
    return RetryLater(f"{what} could not be deleted: {error}", hint="it takes up space and nothing else; try again")


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Translate what reading a table's log raises; a snapshot reads parts of it only when they are asked for."""
    try:
        yield
    except DELTA_FAULTS as error:
        raise unreadable(uri, error) from error


def unreadable(uri: str, error: Exception) -> TimestoreError:
    """The table could not be opened: a damaged log, or a store that refuses or does not answer."""
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
        " the lake: the next flush begins another",
    )


def not_committed(uri: str, error: Exception) -> TimestoreError:
    """A commit failed and the log, asked afterwards, does not have it."""
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
        hint="publish again, or burn the epoch before its batches are given back: a late request may still arrive",
    )


def unknown(uri: str, epoch: int, error: Exception) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"epoch {epoch} may or may not be in {uri}: {summary(error)}",
        hint="keep its files; `timestore recover` asks the Delta log again",
    )


def summary(error: Exception) -> str:
    """The message on one line, without the backtrace deltalake appends."""
    told = str(error).split("\n   0: ")[0]
    return " ".join(part for line in told.splitlines() if (part := line.replace("\x1b[31m↳\x1b[0m", "").strip()))
