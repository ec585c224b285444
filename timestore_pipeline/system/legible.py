"""Escapes text so that it cannot move a terminal's cursor, end a line or change the direction of writing.

Cells, column names, file names and the libraries' messages about them contain text of producers. All text for people
or logs goes through this module; JSON keeps its meaning, other text shows `\\x1b` in place of an escape character.

A structured log event is a name and fields, readable as text in any handler:

    _log.info("%s", LogEvent("flush published", dataset="weather", rows=30))

A plain handler writes `flush published dataset=weather rows=30`; one that supports the class can write JSON.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta

# Controls (C0, C1), soft hyphen, direction marks, line separators, invisible characters, and lone surrogates. Joiners
# and variation selectors are left: scripts and emoji need them.
_UNSAFE = (
    r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_IN_LINE = re.compile(f"[{_UNSAFE}]")
_IN_LINES = re.compile(f"(?![\n\t])[{_UNSAFE}]")
Value = str | int | float | timedelta | None

_PLAIN = re.compile(r"[^\s\"=\\]+")


def legible(text: str, *, lines: bool = False) -> str:
    """The text on one line; lines: keep line ends and tabs."""
    return (_IN_LINES if lines else _IN_LINE).sub(_escaped, text)


def is_legible(text: str) -> bool:
    """Whether the text needs no escapes on one line."""
    return _IN_LINE.search(text) is None


def is_text(text: str) -> bool:
    """Whether an encoding of Unicode can hold it.

    None can hold half of a surrogate pair, as in a file name that is not in UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def legible_json(document: str) -> str:
    """An equivalent JSON text, with escapes for characters that control a terminal or that no encoding holds."""
    return _IN_LINES.sub(lambda found: json.dumps(found[0])[1:-1], document)


def _escaped(found: re.Match[str]) -> str:
    letter = found[0]
    if letter in "\n\r\t":
        return repr(letter)[1:-1]
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class LogEvent:
    """Fields that are None are omitted; durations are seconds."""

    def __init__(self, name: str, /, **fields: Value) -> None:
        self.name = name
        self.fields = {key: _plain(value) for key, value in fields.items() if value is not None}

    def __str__(self) -> str:
        return " ".join([self.name, *logfmt(self.fields)])


def logfmt(fields: dict[str, str | int | float]) -> list[str]:
    """`key=value` for each field, quoted where the value would otherwise be ambiguous."""
    return [f"{key}={_quoted(str(value))}" for key, value in fields.items()]


def _plain(value: str | int | float | timedelta) -> str | int | float:
    if isinstance(value, timedelta):
        return round(value.total_seconds(), 6)
    return str(value) if isinstance(value, str) else value  # of a StrEnum its value


def _quoted(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and is_legible(text)
    return text if plain else legible_json(json.dumps(text, ensure_ascii=False))
