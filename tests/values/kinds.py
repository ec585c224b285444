"""A kind of value: how a source library takes it, and what must come back for it.

Each source library has a module of these: `arrow_kinds`, `frame_kinds`, `sql_kinds`, `python_kinds`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from typing import Any

from hypothesis import strategies as st

from tests.values.plain import FIRST_NS, LAST_NS, Day, Instant, Local, LocalTime, Lost, Pairs, Policy, Span, keepable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Plain = Callable[[Any], Any]

reused = lru_cache(512)  # a new strategy is validated by its first draw, which costs more than a batch


@dataclass(frozen=True, repr=False)
class Kind:
    """`values` as the source library takes them, null left out; `plain` turns one into what must come back."""

    name: str
    values: st.SearchStrategy[Any]
    type: Any = None  # of the source library
    plain: Plain = lambda value: value
    taken: bool = True  # False: the product may also refuse it by name
    make: Callable[[list[Any]], Any] | None = None  # values with nulls -> the library's column, where `type` cannot

    def __repr__(self) -> str:
        return self.name  # Hypothesis prints strategies at times, and those of these strategies are long

    def expected(self, value: Any) -> Any:
        return None if value is None else self.plain(value)

    @cached_property
    def or_null(self) -> st.SearchStrategy[Any]:
        return st.one_of(self.values, self.values, st.none())


@dataclass(frozen=True)
class Column:
    """One column of a batch."""

    name: str
    kind: Kind
    values: list[Any]  # as the source library takes them; None = null

    @property
    def expected(self) -> list[Any]:
        return [self.kind.expected(value) for value in self.values]


@dataclass(frozen=True)
class Batch:
    """What is sent to a dataset, and what must come back if it is taken."""

    payload: Any = field(repr=False)  # what a door takes
    rows: list[dict[str, Any]]  # column -> what must come back, as `plain.same` understands it
    taken: bool  # True: to refuse the batch is a failure, if all its own columns are new
    told: str  # of what it was made
    malformed: bool = False  # it must be refused, whatever is in it

    @property
    def own_columns(self) -> set[str]:
        """Names, as the product tells them apart, without the two that every batch has in the same type."""
        return {name.casefold() for row in self.rows for name in row} - {"row", "at"}

    def must_be_taken(self, policy: Policy) -> bool:
        """A column of nulls may be one of local times, too."""
        may_be = self.taken and not self.malformed and policy.local is not Local.REFUSE
        return may_be and all(keepable(row, policy) for row in self.rows)


def moments(unit_ns: int, low: int = FIRST_NS, high: int = LAST_NS) -> st.SearchStrategy[int]:
    """Counts of a unit of time since 1970, most of them whole seconds or microseconds."""
    first, last = max(low // unit_ns + 1, -(2**63)), min(high // unit_ns, 2**63 - 1)
    step = max(1_000 // unit_ns, 1)  # to whole microseconds
    near = st.integers(0, 4_000_000_000_000_000 // unit_ns)
    steps = st.integers(first // step + 1, last // step).map(lambda count: count * step)
    return st.one_of(near.map(lambda count: count // step * step), steps, near, st.sampled_from([first, last, 0, -1]))


def of_datetime(value: datetime) -> Instant | LocalTime:
    aware = value.tzinfo is not None
    since = (value if aware else value.replace(tzinfo=UTC)) - _EPOCH
    ns = since // _MICROSECOND * 1_000
    return Instant(ns) if aware else LocalTime(ns)


def of_date(value: date) -> Day:
    return Day((value - _EPOCH.date()).days)


def of_time(value: time) -> Span:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return Span((seconds * 1_000_000 + value.microsecond) * 1_000)


def of_timedelta(value: timedelta) -> Span:
    return Span(value // _MICROSECOND * 1_000)


def pairs(key: Kind, item: Kind) -> Plain:
    """A list of pairs, in the library's own values, as a map."""
    return lambda value: Pairs(tuple((key.expected(k), item.expected(v)) for k, v in value))


def refused(why: str) -> Plain:
    """For values that no column can hold."""
    return lambda _: Lost(why)


def each(inner: Kind) -> Plain:
    """A list, in the library's own values."""
    return lambda value: [inner.expected(item) for item in value]


def fields_of(kinds: dict[str, Kind]) -> Plain:
    """A mapping with some or all of the fields, in the library's own values."""
    return lambda value: {name: kinds[name].expected(inner) for name, inner in value.items()}
