"""How deep the brackets of JSON text go, measured at the speed of `bytes.replace`, before any parser sees them."""

from __future__ import annotations

import re

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_TOLD = b'[]{}"'
_REST = bytes(byte for byte in range(256) if byte not in _TOLD)
_ALIKE = bytes.maketrans(b"{}", b"[]")


def is_deeper(text: bytes, most: int) -> bool:
    """Whether brackets are nested deeper than `most`; any number of values may follow each other.

    False also for text that is no JSON, unless its brackets without a partner are as many.
    """
    left = _brackets(text)
    for _ in range(most):
        shorter = left.replace(b"[]", b"")  # the innermost level
        if len(shorter) == len(left):
            return len(left) > most
        left = shorter
    return bool(left)


def _brackets(text: bytes) -> bytes:
    """Those outside of strings, all of one kind."""
    quoted = _ESCAPED.sub(b"", text) if b"\\" in text else text
    brackets = quoted.translate(_ALIKE, _REST).replace(b'""', b"")  # most strings hold no bracket, and regexes are slow
    return _STRING.sub(b"", brackets)
