"""A producer's own record: an intent before each batch is sent, and the answer after it.

One line is one `write` to a file opened for appending. A kill may tear a line, which is then ignored: without its
intent, a batch was not sent; without its ack, a batch is in doubt. A batch in doubt may be staged or not, and is sent
again under its key.
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

from timestore_pipeline.system import clock
from timestore_pipeline.system.context_managers import Closing
from timestore_pipeline.tools.crashtest.schedule import ProvableBatch

_RECENT = 32  # batches; more than a producer leaves open at once
_FIRST_LOOK = 16_384  # bytes


@dataclass(slots=True)
class Sent:
    """One batch, by its producer's record."""

    producer: int
    number: int
    dataset: str
    key: str | None
    rows: int
    digest: str
    acked: bool = False
    acked_at: datetime | None = None  # of its first acknowledgement


@dataclass(slots=True)
class Story:
    """The content of a journal. `complaints`: answers that a producer must never get."""

    sent: dict[int, Sent] = field(default_factory=dict)
    duplicates: int = 0  # sent again and recognised
    refused: int = 0  # answers with `RetryLater`
    complaints: list[str] = field(default_factory=list)

    @property
    def next_number(self) -> int:
        return max(self.sent, default=-1) + 1

    def in_doubt(self) -> list[int]:
        """Batches to send again; without a key that would be a second batch."""
        return [batch.number for batch in self.sent.values() if not batch.acked and batch.key is not None]


class ProducerJournal(Closing):
    """Appends to one producer's file."""

    def __init__(self, folder: Path, producer: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(_path(folder, producer), flags, 0o644)
        os.write(self._descriptor, b"\n")  # ends a line that the life before may have left torn

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
    """The whole journal of a producer so far; an empty story before it has begun."""
    return _story(producer, _lines(_path(folder, producer)))


def read_end(folder: Path, producer: int) -> Story:
    """The end of a journal of any length: at least the last `_RECENT` batches and their answers.

    That is enough for the producer's next life, which sends the batches in doubt again before any new one: older
    batches with a key are all acknowledged.
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
        if line["acked"] in story.sent:  # the intent may be in a part of the file that was not read
            sent = story.sent[line["acked"]]
            sent.acked = True
            sent.acked_at = sent.acked_at or datetime.fromisoformat(line["at"])
        story.duplicates += line["duplicate"]
    elif "refused" in line:
        story.refused += 1
    else:
        story.complaints.append(line["complaint"])
