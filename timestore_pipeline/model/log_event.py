"""A structured log event: a name and fields, readable as text in any handler.

    _log.info("%s", LogEvent("flush published", dataset="weather", rows=30))

A plain handler writes `flush published dataset=weather rows=30`; one that supports the class can write JSON.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta

from timestore_pipeline.system.legible import is_legible, legible_json

Value = str | int | float | timedelta | None

_PLAIN = re.compile(r"[^\s\"=\\]+")


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
