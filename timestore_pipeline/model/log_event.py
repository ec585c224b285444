"""Something that happened, as the log tells it: a name and fields, readable as text wherever it ends up.

    _log.info("%s", LogEvent("flush published", dataset="weather", rows=30))

A handler that knows nothing of it writes `flush published dataset=weather rows=30`; one that does can write JSON.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta

from timestore_pipeline.system.legible import is_legible, legible_json

Value = str | int | float | timedelta | None

_PLAIN = re.compile(r"[^\s\"=\\]+")


class LogEvent:
    """Fields that are None are left out; durations are seconds."""

    def __init__(self, name: str, /, **fields: Value) -> None:
        self.name = name
        self.fields = {key: _plain(value) for key, value in fields.items() if value is not None}

    def __str__(self) -> str:
        return " ".join([self.name, *logfmt(self.fields)])


def logfmt(fields: dict[str, str | int | float]) -> list[str]:
    """`key=value` each, quoted where a reader would otherwise take it for something else."""
    return [f"{key}={_quoted(str(value))}" for key, value in fields.items()]


def _plain(value: str | int | float | timedelta) -> str | int | float:
    if isinstance(value, timedelta):
        return round(value.total_seconds(), 6)
    return str(value) if isinstance(value, str) else value  # of a StrEnum its value


def _quoted(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and is_legible(text)
    return text if plain else legible_json(json.dumps(text, ensure_ascii=False))
