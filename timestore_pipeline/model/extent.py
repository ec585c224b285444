"""The range of a column's numbers: whether a wider type would hold all of them exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """The range of one int64 or decimal leaf."""

    digits: int = 0  # largest number of digits before the decimal point
    doubles: bool = True  # every number is exactly representable as a double

    def __or__(self, other: Extent) -> Extent:
        return Extent(max(self.digits, other.digits), self.doubles and other.doubles)


Extents = Mapping[str, Extent]  # by path, such as `o.marks[]`; absent = no value but null
