"""A producer's own record: what it set out to send, written before, and what it was told, written after.

One line is one `write` to a file opened for appending. A kill may tear a line; it then says nothing: an intent that was
not written was not sent, an ack that was not written leaves its batch in doubt. Such a batch may be staged or not, and
only sending it again under its key can tell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from timestore_pipeline import clock
from timestore_pipeline.system.context_managers import Closing
from timestore_pipeline.tools.crashtest.workload import ProvableBatch

_RECENT = 32  # batches; more than a producer leaves open at once
_FIRST_LOOK = 16_384  # bytes


@dataclass(slots=True)
class Sent:
    """One batch, as its producer knows it."""

    producer: int
    number: int
    dataset: str
    key: str | None
    rows: int
    digest: str
    acked: bool = False
    acked_at: datetime | None = None  # the first time that its producer was told


@dataclass(slots=True)
class Story:
    """What a journal tells. `complaints`: what a producer was told and may never be told."""

    sent: dict[int, Sent] = field(default_factory=dict)
    duplicates: int = 0  # sent again and recognised
    refused: int = 0  # told to come again later
    complaints: list[str] = field(default_factory=list)

    @property
    def next_number(self) -> int:
        return max(self.sent, default=-1) + 1

    def in_doubt(self) -> list[int]:
        """Batches to send again; without a key that would be a second batch."""
        return [batch.number for batch in self.sent.values() if not batch.acked and batch.key is not None]


class Journal(Closing):
    """Appends to one producer's file."""

    def __init__(self, folder: Path, producer: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(_path(folder, producer), flags, 0o644)
        os.write(self._descriptor, b"\n")  # ends what the one before may have left torn

    def intend(self, batch: ProvableBatch) -> None:
        fields = ("number", "dataset", "key", "rows", "digest")
        self._write({"intent": {name: getattr(batch, name) for name in fields}})

    def acked(self, number: int, *, duplicate: bool) -> None:
        self._write({"acked": number, "duplicate": duplicate, "at": clock.now().isoformat()})

    def refused(self, number: int, why: str) -> None:
        self._write({"refused": number, "why": why})

    def complain(self, text: str) -> None:
        self._write({"complaint": text})

    def close(self) -> None:
        os.close(self._descriptor)

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")


def read_story(folder: Path, producer: int) -> Story:
    """What the producer knows by now; nothing when it has not begun."""
    return _story(producer, _lines(_path(folder, producer)))


def read_end(folder: Path, producer: int) -> Story:
    """The newest part of the story, however long it is: at least the last `_RECENT` batches and what became of them.

    Enough for the next life, which sends again whatever is in doubt before anything new: older batches with a key are
    all acknowledged.
    """
    path, size = _path(folder, producer), _FIRST_LOOK
    while True:
        story = _story(producer, _lines(path, last=size))
        if len(story.sent) >= _RECENT or not path.exists() or size >= path.stat().st_size:
            return story
        size *= 4


def _story(producer: int, lines: Iterable[dict[str, Any]]) -> Story:
    story = Story()
    for line in lines:
        _add(story, producer, line)
    return story


def _path(folder: Path, producer: int) -> Path:
    return folder / f"producer-{producer}.ndjson"


def _lines(path: Path, *, last: int | None = None) -> Iterator[dict[str, Any]]:
    """Whole lines among the last bytes of the file; None = of all of it."""
    if not path.exists():
        return
    with path.open("rb") as file:
        if last is not None and last < path.stat().st_size:
            file.seek(-last, os.SEEK_END)
            file.readline()
        for line in file:
            with suppress(ValueError):  # torn, or the empty line that ends a torn one
                yield json.loads(line)


def _add(story: Story, producer: int, line: dict[str, Any]) -> None:
    if "intent" in line:
        story.sent[line["intent"]["number"]] = Sent(producer, **line["intent"])
    elif "acked" in line:
        if line["acked"] in story.sent:  # its intent may lie further back than was read
            sent = story.sent[line["acked"]]
            sent.acked = True
            sent.acked_at = sent.acked_at or datetime.fromisoformat(line["at"])
        story.duplicates += line["duplicate"]
    elif "refused" in line:
        story.refused += 1
    else:
        story.complaints.append(line["complaint"])
