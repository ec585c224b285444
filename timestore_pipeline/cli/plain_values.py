"""Values of a query result as JSON values: none is refused, none is silently rounded."""

from __future__ import annotations

import base64
import math
from datetime import date, time, timedelta
from decimal import Decimal
from functools import singledispatch
from typing import Any
from uuid import UUID

import pyarrow as pa


@singledispatch
def plain(value: Any) -> Any:
    """Text, whole numbers, booleans and NULL stay what they are."""
    return value


@plain.register
def _(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None


@plain.register(date)
@plain.register(time)
def _(value: date | time) -> str:
    """ISO 8601; an instant is a date, too."""
    return value.isoformat()


@plain.register(Decimal)
@plain.register(UUID)
def _(value: Decimal | UUID) -> str:
    """A decimal as text keeps its digits."""
    return str(value)


@plain.register
def _(value: timedelta) -> float:
    """Seconds."""
    return value.total_seconds()


@plain.register(pa.MonthDayNano)
def _(value: Any) -> str:
    """An interval, as an ISO 8601 duration."""
    return f"P{value.months}M{value.days}DT{value.nanoseconds / 1e9:g}S"


@plain.register
def _(value: bytes) -> str:
    """Base64."""
    return base64.b64encode(value).decode()


@plain.register
def _(value: dict) -> dict[str, Any]:  # type: ignore[type-arg]  # singledispatch takes plain classes
    return {str(key): plain(inner) for key, inner in value.items()}


@plain.register
def _(value: list) -> list[Any]:  # type: ignore[type-arg]
    return [plain(inner) for inner in value]
