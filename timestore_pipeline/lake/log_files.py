"""The files of a Delta log: their names, which of them are torn, and up to which version they are flushed to disk."""

from __future__ import annotations

import fcntl
import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from timestore_pipeline.system import clock
from timestore_pipeline.system.durable import sync

COMMIT = re.compile(r"(\d{20})\.json")
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.parquet")
HINT = "_last_checkpoint"
_NOTE = "_flushed"  # holds the version up to which the log is flushed to disk, in digits; Delta readers ignore it

Action = dict[str, Any]


def now_millis() -> int:
    """As the entries of a log have the time: milliseconds since the Unix epoch."""
    return clock.to_micros(clock.now()) // 1000


def version_of(name: str) -> int:
    """-1 = neither a commit nor a checkpoint."""
    match = COMMIT.fullmatch(name) or CHECKPOINT.fullmatch(name)
    return -1 if match is None else int(match[1])


def parsed_commit(content: bytes) -> list[Action]:
    """Raise `ValueError` for a torn one."""
    return [json.loads(line) for line in content.splitlines() if line.strip()]


def noted_as_flushed(folder: Path, names: Sequence[str]) -> int:
    """The version up to which the log is noted as flushed; -1 = unknown. A torn note is cut short, so it is lower.

    A note beyond the newest commit belongs to another log: the folder was restored from a backup.
    """
    newest = max((int(match[1]) for name in names if (match := COMMIT.fullmatch(name))), default=-1)
    try:
        noted = int((folder / _NOTE).read_bytes())
    except (OSError, ValueError):
        return -1
    return noted if noted <= newest else -1


def note_as_flushed(folder: Path, version: int) -> None:
    """The note itself is not flushed: a lost or failed note costs one more flush of the log."""
    temporary = folder / f"{_NOTE}-{uuid.uuid4().hex[:12]}"
    with suppress(OSError):
        try:
            temporary.write_bytes(str(version).encode())
            temporary.replace(folder / _NOTE)
        finally:
            temporary.unlink(missing_ok=True)


def set_aside_torn(folder: Path) -> bool:
    """Rename torn checkpoints and a torn newest commit; True when there was one.

    The lock makes check and rename one step: without it, a slow process could set aside the sound commit that a
    faster one has meanwhile written in place of the torn one.
    """
    with _locked(folder):
        torn = [*_torn_checkpoints(folder), *_torn_commit(folder)]
        for path in torn:
            path.rename(path.with_name(f"_torn-{path.name}"))
        sync(folder)
    return bool(torn)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """An exclusive lock between processes; the kernel drops it with the process, so it is never stale."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _torn_commit(folder: Path) -> list[Path]:
    """Only the newest commit can be torn: every commit below was flushed before another was made on top of it."""
    commits = sorted(path for path in folder.iterdir() if COMMIT.fullmatch(path.name))
    return [path for path in commits[-1:] if not _is_whole_commit(path)]


def _is_whole_commit(path: Path) -> bool:
    try:
        return bool(parsed_commit(path.read_bytes()))
    except ValueError:
        return False


def _torn_checkpoints(folder: Path) -> list[Path]:
    """Torn checkpoints and the hint; a checkpoint is derived from the commits below it, which are all still there."""
    torn = [path for path in folder.iterdir() if CHECKPOINT.fullmatch(path.name) and not _is_parquet(path)]
    return [*torn, folder / HINT] if torn and (folder / HINT).exists() else torn


def _is_parquet(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError):
        return False
    return True
