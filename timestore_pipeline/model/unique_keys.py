"""A key that stands twice in a JSON object is refused: the parser would keep the last value without a word."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any


class KeyTwice(Exception):
    """A key that an object has twice; the text is the key."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` for `json.loads`; raises `KeyTwice`."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise KeyTwice(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return found


def check_unique_keys(text: str) -> None:
    """Raises `KeyTwice`; says nothing of text that is no JSON."""
    with suppress(RecursionError, ValueError):
        json.loads(text, object_pairs_hook=unique_keys)
