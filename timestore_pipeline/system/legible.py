"""Text that moves no terminal's cursor, ends no line and turns no direction, whoever wrote it.

Cells, column names, names of files and what libraries say of them come from producers. Everything that is shown to a
person or written to a log goes through here; JSON keeps its meaning, other text shows `\\x1b` where an escape was.
"""

from __future__ import annotations

import json
import re

# Controls (C0, C1), soft hyphen, marks of direction, separators of lines, what is invisible, and halves of surrogates.
_UNSAFE = (
    r"\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e0fff"
)
_IN_LINE = re.compile(f"[{_UNSAFE}]")
_IN_LINES = re.compile(f"(?![\n\t])[{_UNSAFE}]")


def legible(text: str, *, lines: bool = False) -> str:
    """The text on one line, or with the line ends and tabs it has."""
    return (_IN_LINES if lines else _IN_LINE).sub(_escaped, text)


def is_legible(text: str) -> bool:
    """Whether it is shown as it is, on one line."""
    return _IN_LINE.search(text) is None


def legible_json(document: str) -> str:
    """A JSON text with escapes in the place of what a terminal would obey or no encoding holds; it means the same."""
    return _IN_LINES.sub(lambda found: json.dumps(found[0])[1:-1], document)


def _escaped(found: re.Match[str]) -> str:
    letter = found[0]
    if letter in "\n\r\t":
        return repr(letter)[1:-1]
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
