"""Ids of journals and segments."""

from __future__ import annotations

import uuid
from datetime import datetime

from timestore_pipeline import clock

_INSTANT = 16  # hexadecimal digits of microseconds since the Unix epoch


def new_id() -> str:
    """Sorts by creation time; the random part keeps processes apart."""
    return f"{clock.to_micros(clock.now()):016x}{uuid.uuid4().hex[:8]}"


def begun_at(staged_id: str) -> datetime | None:
    """The instant at which the id was made; None = it is not an id of this product."""
    try:
        return clock.from_micros(int(staged_id[:_INSTANT], 16))
    except (ValueError, OverflowError):
        return None
