"""Append-only files, a JSON document per line, for processes that may be killed at any instant.

One call of `append_lines` is one `write`. A kill may tear a line; a torn line is ignored, and spoils none after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any


def append_lines(path: Path, documents: Iterable[Any]) -> None:
    if text := "".join(f"\n{json.dumps(document)}\n" for document in documents):
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


def whole_lines(path: Path) -> Iterator[Any]:
    """Oldest first; nothing while there is no file."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):  # torn, or the empty line that ends a torn one
            yield json.loads(line)
