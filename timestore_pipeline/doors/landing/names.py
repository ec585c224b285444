"""The names of files in the landing folder: which are ignored, and what a name means in each place.

Taken: `<instant>~<name>`. The file is not read before the instant, so a postponed file has a later one; a file that is
being read, or whose reader died, also has the number of attempts: `<instant>.<attempts>~<name>`.
Archived or rejected: `<stem>.<content><suffixes>`, with the content's digest. So two files of one name never collide,
files of the same content do, and a listing of names shows every content that was taken.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import NamedTuple

from timestore_pipeline.system import clock

REASON = ".reason.json"

_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".inprogress", ".swp")
_STAMP = "%Y%m%dT%H%M%S%fZ"
_IN_HAND = re.compile(r"(\d{8}T\d{12}Z)(?:\.([1-9]))?~(.+)", re.DOTALL)
_CONTENT = re.compile(r".*\.([0-9a-f]{16})(?:\.[^.]+){0,2}", re.DOTALL)  # the last one: a dropped name may contain one
_LONGEST = 255  # bytes of a name on every usual filesystem
_DIGITS = 16  # of the content's digest
_LONGEST_WAIT = timedelta(hours=1)


def is_unfinished(name: str) -> bool:
    """Hidden, or named as programs name files that they have not finished writing."""
    return name.startswith((".", "_")) or name.endswith("~") or name.lower().endswith(_UNFINISHED)


class InHand(NamedTuple):
    """The parts of a taken file's name."""

    not_before: datetime | None  # None = its stamp is not one of ours
    name: str  # under which it was dropped
    attempts: int = 0  # to read it that did not finish


def in_hand(name: str, not_before: datetime, attempts: int = 0) -> str:
    """The name of a taken file; printable, because readers open no path that is not UTF-8."""
    return _fitted(shown(name), f"{not_before.astimezone(UTC):{_STAMP}}{f'.{attempts}' if attempts else ''}~", "")


def dropped_as(name: str) -> InHand:
    """The inverse of `in_hand`, for any name.

    No file is postponed for as long as an hour, so a later instant is ignored: it would keep the file from being read.
    """
    match = _IN_HAND.fullmatch(name)
    if match is None:
        return InHand(None, name)
    attempts = int(match[2] or 0)
    try:
        instant = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
    except ValueError:  # the digits are no date
        return InHand(None, match[3], attempts)
    return InHand(instant if instant <= clock.now() + _LONGEST_WAIT else None, match[3], attempts)


def archived(relative: PurePath, content: str) -> PurePath:
    """The path of an archived or rejected file of this content; content: hexadecimal digest."""
    ending = f".{content[:_DIGITS]}{suffixes(relative.name)}"
    return relative.with_name(_fitted(relative.name, "", ending))


def content_of(name: str) -> str | None:
    """The beginning of the digest that an archived file's name holds."""
    match = _CONTENT.fullmatch(name)
    return None if match is None else match[1]


def beginning(content: str) -> str:
    """The part of a digest that names contain."""
    return content[:_DIGITS]


def shown(path: PurePath | str) -> str:
    """A path made printable: without line ends and terminal control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(path))


def suffixes(name: str) -> str:
    """The suffixes that name the format: `.csv`, `.csv.gz`; empty when they are too long for that."""
    path = Path(name)
    wanted = path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]
    found = "".join(wanted)
    return found if len(found) <= 16 else ""


def _fitted(name: str, before: str, ending: str) -> str:
    """`before`, as much of the name as fits, `ending`; without an ending the name keeps its own."""
    own = suffixes(name)
    stem = name.removesuffix(own)
    ending = ending or own
    room = _LONGEST - len(os.fsencode(before + ending)) - len(REASON)
    return before + os.fsdecode(os.fsencode(stem)[:room]) + ending
