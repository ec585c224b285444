"""What a value is, in whichever library it was made, and whether what was read is what was sent.

This is the oracle: it is written from the documented rules and shares no code with the product. Every source library
and every reader has its values turned into these few kinds, and `same` says whether one may come back as the other.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum
from typing import Any

_DAY = 86_400_000_000_000  # nanoseconds
FIRST_NS, LAST_NS = -719_162 * _DAY, 2_932_897 * _DAY - 1  # of the years 0001 to 9999
_MICRO = 1_000  # nanoseconds


class Broken(AssertionError):
    """The promise is broken: a value was altered or lost, an error had no type or no name, a good batch was refused."""


class Fraction(StrEnum):
    """What a dataset does with times finer than a microsecond."""

    REFUSE = "refuse"
    ROUND = "round"
    TRUNCATE = "truncate"


class Local(StrEnum):
    """What a dataset does with timestamps without a zone."""

    FEATURE = "feature"
    REFUSE = "refuse"
    UTC = "utc"


@dataclass(frozen=True, slots=True)
class Policy:
    """A dataset's two choices about time."""

    fraction: Fraction = Fraction.REFUSE
    local: Local = Local.FEATURE

    def micros(self, ns: int) -> int | None:
        """Whole microseconds, in nanoseconds; None = refused."""
        whole, rest = divmod(ns, _MICRO)
        if rest == 0 or self.fraction is Fraction.TRUNCATE:
            return whole * _MICRO
        if self.fraction is Fraction.REFUSE:
            return None
        up = rest > _MICRO // 2 or (rest == _MICRO // 2 and whole % 2 == 1)
        return (whole + up) * _MICRO


STRICT = Policy()  # what a dataset does where nothing is said


@dataclass(frozen=True, slots=True)
class Instant:
    ns: int  # since 1970-01-01T00:00:00Z


@dataclass(frozen=True, slots=True)
class LocalTime:
    ns: int  # since 1970-01-01T00:00:00 of an unnamed zone


@dataclass(frozen=True, slots=True)
class Day:
    days: int  # since 1970-01-01

    @property
    def ns(self) -> int:
        return self.days * _DAY


@dataclass(frozen=True, slots=True)
class Span:
    """A time of day or a length, which is published as a number of microseconds."""

    ns: int
    of_day: bool = False

    def kept(self, policy: Policy) -> int | None:
        """What is published, in nanoseconds; None = refused. No time of day is rounded to 24:00."""
        kept = policy.micros(self.ns)
        return None if self.of_day and kept == _DAY else kept


@dataclass(frozen=True, slots=True)
class Pairs:
    """A map."""

    items: tuple[tuple[Any, Any], ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """A value that no column can hold: its batch must be refused."""

    why: str


class Written:
    """Text that may come back as what it says; `tests.values.text` has the kinds of it."""

    def reads_as(self, found: Any) -> bool:
        """Whether `found` is this text with nothing lost."""
        raise NotImplementedError


def same(sent: Any, found: Any, policy: Policy) -> bool:
    """Whether `found` is what must come back for `sent`; numbers and times may stand in a wider column."""
    if isinstance(sent, Written):
        return sent.reads_as(found)
    if sent is None or isinstance(sent, Lost):
        return sent is None and found is None
    if isinstance(sent, list):
        return isinstance(found, list) and _all_same(sent, found, policy)
    if isinstance(sent, dict):
        return _same_object(sent, found, policy)
    if isinstance(sent, Pairs):
        return _same_pairs(sent, found, policy)
    if isinstance(sent, (Instant, LocalTime, Day, Span)):
        return _same_time(sent, found, policy)
    return _same_leaf(sent, found)


def keepable(sent: Any, policy: Policy) -> bool:
    """Whether a column of the value's own kind can hold it."""
    if isinstance(sent, Lost):
        return False
    if isinstance(sent, list):
        return all(keepable(value, policy) for value in sent)
    if isinstance(sent, dict):
        return all(keepable(value, policy) for value in sent.values())
    if isinstance(sent, Pairs):
        return all(keepable(key, policy) and keepable(value, policy) for key, value in sent.items)
    if isinstance(sent, LocalTime) and policy.local is Local.REFUSE:
        return False
    if isinstance(sent, Span):
        return sent.kept(policy) is not None
    if isinstance(sent, (Instant, LocalTime, Day)):
        kept = policy.micros(sent.ns)
        return kept is not None and FIRST_NS <= kept <= LAST_NS
    return not isinstance(sent, Decimal) or _digits(sent) <= 38


def _digits(number: Decimal) -> int:
    with localcontext(prec=200):
        _, digits, exponent = number.normalize().as_tuple()
    return max(len(digits), len(digits) + int(exponent), -int(exponent))


def _all_same(sent: list[Any], found: list[Any], policy: Policy) -> bool:
    return len(sent) == len(found) and all(same(*pair, policy) for pair in zip(sent, found, strict=True))


def _same_object(sent: dict[str, Any], found: Any, policy: Policy) -> bool:
    if not sent and found is None:
        return True  # an object without fields counts as null
    if not isinstance(found, dict):
        return False
    return all(same(sent.get(name), found.get(name), policy) for name in sent | found)


def _same_pairs(sent: Pairs, found: Any, policy: Policy) -> bool:
    if isinstance(found, list):  # Polars has no maps: it reads them as lists of objects
        found = Pairs(tuple((entry["key"], entry["value"]) for entry in found))
    if not isinstance(found, Pairs):
        return False
    return _all_same([list(pair) for pair in sent.items], [list(pair) for pair in found.items], policy)


def _same_time(sent: Instant | LocalTime | Day | Span, found: Any, policy: Policy) -> bool:
    ns = sent.kept(policy) if isinstance(sent, Span) else policy.micros(sent.ns)
    if isinstance(sent, Span):
        return ns is not None and type(found) is int and found * _MICRO == ns
    if isinstance(sent, Day):
        return isinstance(found, (Day, Instant, LocalTime)) and found.ns == ns
    if isinstance(sent, LocalTime) and policy.local is not Local.FEATURE:
        return policy.local is Local.UTC and isinstance(found, Instant) and found.ns == ns
    return type(found) is type(sent) and found.ns == ns


def _same_leaf(sent: Any, found: Any) -> bool:
    if isinstance(sent, (bool, str, bytes)) or isinstance(found, (bool, str, bytes)):
        return type(sent) is type(found) and sent == found
    if isinstance(sent, float) and isinstance(found, float):
        return _bits(sent) == _bits(found)
    if not all(isinstance(number, (int, float, Decimal)) and math.isfinite(number) for number in (sent, found)):
        return False
    if isinstance(sent, float) and _bits(sent) == _bits(-0.0):
        return False  # an integer or a decimal has no negative zero
    return Decimal(sent) == Decimal(found)  # exact, also for the last bit of a float


def _bits(number: float) -> bytes:
    return b"NaN" if math.isnan(number) else struct.pack(">d", number)
