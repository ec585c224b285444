"""Text that may come back as what it says: the cells of CSV, and the numbers and strings of JSON.

A cell becomes a number, a truth value or a time only where it can be written back with nothing lost but the zeros at
the end of a fraction; else it comes back as it stands. JSON says itself what is a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from tests.values.kinds import of_date, of_datetime, of_time
from tests.values.plain import STRICT, Instant, LocalTime, Policy, Written, same

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_SPECIAL = ("NaN", "nan", "inf", "-inf")
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d|[+-]\d\d)?")


@dataclass(frozen=True, slots=True)
class Cell(Written):
    """One cell of a CSV file."""

    text: str
    quoted: bool = False
    nulls: tuple[str, ...] = field(default=("",), repr=False)
    decimal: str = field(default=".", repr=False)  # what stands between whole and fraction
    policy: Policy = field(default=STRICT, repr=False)
    known: bool = field(default=False, repr=False)  # the column may be one of times of day already

    def reads_as(self, found: Any) -> bool:
        if found is None:
            return not self.quoted and self.text in self.nulls
        if isinstance(found, str):
            return found == self.text
        if isinstance(found, bool):
            return self.text.lower() == str(found).lower()
        if isinstance(found, (int, float, Decimal)):
            if self.text in _SPECIAL:  # a float, beside others that are finite
                return same(float(self.text), found, self.policy)
            number = is_number(self.text.replace(self.decimal, "."), found)
            return number or (self.known and is_time_of_day(self.text, found))
        return any(same(meant, found, self.policy) for meant in times(self.text))


@dataclass(frozen=True, slots=True)
class Number(Written):
    """A number as it stands in JSON."""

    text: str

    def reads_as(self, found: Any) -> bool:
        return not isinstance(found, bool) and isinstance(found, (int, float, Decimal)) and is_number(self.text, found)


@dataclass(frozen=True, slots=True)
class Text(Written):
    """A string of JSON: itself, or the instant that it spells in full."""

    text: str
    policy: Policy = field(default=STRICT, repr=False)
    known: bool = False  # the column may be one of times: then any time will do

    def reads_as(self, found: Any) -> bool:
        if isinstance(found, str):
            return found == self.text
        if self.known and is_time_of_day(self.text, found):
            return True
        full = [meant for meant in times(self.text) if self.known or isinstance(meant, Instant)]
        return any(same(meant, found, self.policy) for meant in full)


def is_number(text: str, found: float | Decimal) -> bool:
    """Whether the number found says all that the text says."""
    if not _NUMBER.fullmatch(text) or not any(letter.isdigit() for letter in text):
        return False
    said = Decimal(text)
    if isinstance(found, float):
        shortest = Decimal(repr(found))
        return said in (shortest, Decimal(found)) and shortest.is_signed() == said.is_signed()
    negative_zero = said.is_zero() and said.is_signed()
    return Decimal(found) == said and not negative_zero


def is_time_of_day(text: str, found: Any) -> bool:
    """Whether that many microseconds since midnight are what the text says."""
    if len(text.partition(".")[2].rstrip("0")) > 6:
        return False  # Python would cut the digits off
    try:
        return type(found) is int and found * 1_000 == of_time(time.fromisoformat(text)).ns
    except ValueError:
        return False


def times(text: str) -> list[Any]:
    """What the text can mean as a date or a time, written in full."""
    if _DATE.fullmatch(text):
        try:
            return [of_date(date.fromisoformat(text))]
        except ValueError:
            return []
    found = _TIME.fullmatch(text)
    if found is None:
        return []
    try:
        whole = datetime.fromisoformat(f"{found[1]}T{found[2]}{found[4] or ''}")
        since = of_datetime(whole.astimezone(UTC) if whole.tzinfo else whole).ns
    except (ValueError, OverflowError):
        return []
    digits = (found[3] or "").rstrip("0")
    if len(digits) > 9:
        return []
    ns = since + int(digits.ljust(9, "0"))
    return [Instant(ns) if whole.tzinfo else LocalTime(ns)]
