"""How far the numbers of a column reach: whether all of them would survive in a wider type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """Of one int64 or decimal leaf."""

    digits: int = 0  # most before the decimal point
    doubles: bool = True  # each whole number is a double as well

    def __or__(self, other: Extent) -> Extent:
        return Extent(max(self.digits, other.digits), self.doubles and other.doubles)


Extents = Mapping[str, Extent]  # by path, such as `o.marks[]`; absent = no value but null
