"""The names of files in the landing folder: which are left alone, and what a name says in each place.

In hand: `<instant>~<name>`. Nobody looks at the file before the instant, so a file that has to wait says until when;
one that is being read, or whose reader died, also says how often: `<instant>.<attempts>~<name>`.
Archived or rejected: `<stem>.<content><suffixes>`, with the content's digest. So two files of one name never meet, the
same content does, and what was ever taken can be told from a list of names.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import NamedTuple

from timestore_pipeline import clock
from timestore_pipeline.model.dataset import is_dataset_name

REASON = ".reason.json"

_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".inprogress", ".swp")
_STAMP = "%Y%m%dT%H%M%S%fZ"
_IN_HAND = re.compile(r"(\d{8}T\d{12}Z)(?:\.([1-9]))?~(.+)", re.DOTALL)
_CONTENT = re.compile(r".*\.([0-9a-f]{16})(?:\.[^.]+){0,2}", re.DOTALL)  # the last: a name may have come with one
_LONGEST = 255  # bytes of a name on every usual filesystem
_DIGITS = 16  # of the content's digest
_LONGEST_WAIT = timedelta(hours=1)


def is_unfinished(name: str) -> bool:
    """Hidden, or named as whoever writes files in place names them until they are whole."""
    return name.startswith((".", "_")) or name.endswith("~") or name.lower().endswith(_UNFINISHED)


def is_ours(name: str) -> bool:
    """A folder directly in the landing folder that may be a dataset's."""
    return is_dataset_name(name)


class InHand(NamedTuple):
    """What the name of a file in hand says."""

    not_before: datetime | None  # None = its stamp is none of ours
    name: str  # it came under
    attempts: int = 0  # to read it that came to no end


def in_hand(name: str, not_before: datetime, attempts: int = 0) -> str:
    """The name under which a file is worked on; readers open no path that is not in UTF-8."""
    return _fitted(shown(name), f"{not_before.astimezone(UTC):{_STAMP}}{f'.{attempts}' if attempts else ''}~", "")


def dropped_as(name: str) -> InHand:
    """The inverse of `in_hand`, for any name.

    No file is put off for as long as an hour, so an instant beyond that would only keep the file from ever being read.
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
    """Where a file of this content comes to lie; content: hexadecimal digest."""
    ending = f".{content[:_DIGITS]}{suffixes(relative.name)}"
    return relative.with_name(_fitted(relative.name, "", ending))


def content_of(name: str) -> str | None:
    """The beginning of the digest that an archived file's name holds."""
    match = _CONTENT.fullmatch(name)
    return None if match is None else match[1]


def beginning(content: str) -> str:
    """As much of a digest as names hold."""
    return content[:_DIGITS]


def shown(path: PurePath | str) -> str:
    """A path that can be printed, whatever bytes it holds: no line end, no command to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(path))


def suffixes(name: str) -> str:
    """What says which format it is: `.csv`, `.csv.gz`; none when it is too long to be one."""
    path = Path(name)
    wanted = path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]
    found = "".join(wanted)
    return found if len(found) <= 16 else ""


def _fitted(name: str, before: str, ending: str) -> str:
    """`before`, as much of the name as there is room for, `ending`; without an ending the name keeps its own."""
    own = suffixes(name)
    stem = name.removesuffix(own)
    ending = ending or own
    room = _LONGEST - len(os.fsencode(before + ending)) - len(REASON)
    return before + os.fsdecode(os.fsencode(stem)[:room]) + ending
