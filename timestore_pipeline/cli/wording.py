"""Amounts, ages and instants as people read them. JSON gets plain numbers and ISO 8601 instead."""

from __future__ import annotations

from datetime import datetime, timedelta

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(amount: float) -> str:
    """Bytes in decimal units, as the limits are documented."""
    for unit in _UNITS:
        if round(amount, 1) < 1000 or unit == _UNITS[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def count(amount: int, thing: str) -> str:
    """`1 batch`, `1,000 batches`."""
    plural = thing + ("es" if thing.endswith(("ch", "sh", "ss")) else "s")
    return f"{amount:,} {thing if amount == 1 else plural}"


def duration(length: timedelta | None) -> str:
    """Two units at most; '-' for none."""
    if length is None:
        return "-"
    seconds = round(length.total_seconds(), 1)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = round(seconds) // 60, round(seconds) // 3600
    if hours < 1:
        return f"{minutes} min {round(seconds) % 60} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def instant(moment: datetime | None) -> str:
    """UTC to the second; '-' for none."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def iso(moment: datetime | None) -> str | None:
    """For JSON."""
    return None if moment is None else moment.isoformat()


def seconds(length: timedelta | None) -> float | None:
    """For JSON."""
    return None if length is None else length.total_seconds()


def limit(amount: int) -> str:
    """A threshold: 0 is off."""
    return f"{amount:,}" if amount else "off"
