"""When a cell is a number: only where nothing of it is lost but the trailing zeros of a fraction.

`007` and `+1` are text, `12e4` is a part number, `1e-07` is how a program writes a float. A column of numbers is int64,
else float64 where the doubles keep every digit, else a decimal that does, else no column of numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

_DIGITS = 38  # of the widest decimal
_IN_DOUBLE = 15  # any so many digits are kept by a double
_IN_INT64 = 18
_PLAIN = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$"
_NUMBER = (  # the exponents as programs write them: one digit before the point, a fraction or a signed exponent
    r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
    r"|[1-9]\.[0-9]+[eE][+-]?[0-9]{1,3}|[1-9][eE][+-][0-9]{1,3}|0\.0+[eE][+-]?0{1,3})$"
)
_WHOLE = r"^-?[0-9]{1,19}$"
_SAMPLE = 64  # cells that tell a column of whole numbers from others
_MINUS_ZERO = r"^-0(?:\.0+)?(?:[eE].*)?$"
SPECIAL = ("NaN", "nan", "inf", "-inf")  # floats, beside others that are finite


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is known of the numbers of a column; `Numbers()` of none."""

    finite: bool = False
    special: bool = False  # any of `SPECIAL`
    fractions: bool = False  # any with a point, an exponent, or a minus before a zero
    float_only: bool = False  # any with an exponent, or a minus before a zero
    in_int64: bool = True
    in_double: bool = True
    digits: int = 0  # most before the point
    places: int = 0  # most after it

    def __or__(self, other: Numbers) -> Numbers:
        """Of both together."""
        return Numbers(
            self.finite or other.finite,
            self.special or other.special,
            self.fractions or other.fractions,
            self.float_only or other.float_only,
            self.in_int64 and other.in_int64,
            self.in_double and other.in_double,
            max(self.digits, other.digits),
            max(self.places, other.places),
        )

    def type(self, *, prefer_decimal: bool = False) -> pa.DataType | None:
        """The type that keeps all of them; None = no type does. prefer_decimal: to a double, where both would do."""
        if not self.finite:
            return None
        if not (self.fractions or self.special):
            return pa.int64() if self.in_int64 else self._decimal()
        if self.in_double and not (prefer_decimal and self._decimal() is not None):
            return pa.float64()
        return self._decimal()

    def _decimal(self) -> pa.DataType | None:
        fits = self.digits + self.places <= _DIGITS and not (self.special or self.float_only)
        return pa.decimal128(_DIGITS, self.places) if fits else None


def with_point(cells: pa.Array) -> pa.Array:
    """Numbers that were written with a decimal comma; one with a point is none any more."""
    return pc.replace_substring(pc.replace_substring(cells, ".", "'"), ",", ".")


def are_numbers(cells: pa.Array) -> pa.BooleanArray:
    """Which of the cells, none of them null, are numbers or `SPECIAL`."""
    plain = pc.match_substring_regex(cells, _NUMBER)
    if pc.all(plain).as_py() is not False:
        return plain
    return pc.or_(plain, pc.is_in(cells, pa.array(SPECIAL)))


def numbers_of(cells: pa.Array) -> Numbers | None:
    """What the cells are as numbers, none of them null; None = one of them is no number."""
    if (whole := _of_whole(cells)) is not None:
        return whole
    if pc.all(pc.match_substring_regex(cells, _PLAIN)).as_py() is not False:
        return _of_finite(cells, exponents=False)
    if not pc.all(are_numbers(cells)).as_py():
        return None
    special = pc.is_in(cells, pa.array(SPECIAL))
    finite = cells.filter(pc.invert(special))
    exponents = bool(pc.any(pc.match_substring(finite, "e", ignore_case=True)).as_py())
    return _of_finite(finite, exponents=exponents) | Numbers(special=bool(pc.any(special).as_py()))


def keeps(cell: str) -> bool:
    """Whether a double keeps every digit of the number; a whole one must be the double exactly."""
    number = float(cell)
    if not math.isfinite(number):
        return False
    try:
        exact = Decimal(cell)
    except InvalidOperation:  # an exponent of twenty digits
        return False
    return Decimal(number) == exact or (not cell.lstrip("-").isdigit() and Decimal(repr(number)) == exact)


def first_not_kept(cells: pa.Array, *, exponents: bool = True) -> int | None:
    """Position of the first finite number that a double would change; None = all are kept. exponents: some may have."""
    suspects = _suspects(cells, exponents=exponents)
    chosen = cells.take(suspects)
    if len(chosen) == 0:
        return None
    try:
        printed = chosen.cast(pa.float64()).cast(pa.string())  # shortest digits that tell the double from others
    except pa.ArrowInvalid:  # beyond the largest double
        printed = pa.nulls(len(chosen), pa.string())
    same = pc.fill_null(pc.and_(pc.equal(printed, chosen), pc.match_substring(chosen, ".")), False)
    others = pc.indices_nonzero(pc.invert(same)).to_pylist()
    return next((suspects[index].as_py() for index in others if not keeps(chosen[index].as_py())), None)


def _suspects(cells: pa.Array, *, exponents: bool) -> pa.UInt64Array:
    """Positions of cells with more digits than every double keeps, or with an exponent."""
    long = pc.greater(pc.binary_length(cells), _IN_DOUBLE)
    if not exponents:
        return pc.indices_nonzero(long)
    return pc.indices_nonzero(pc.or_(long, pc.match_substring(cells, "e", ignore_case=True)))


def _of_whole(cells: pa.Array) -> Numbers | None:
    """The same where all are int64 as a program prints them, which is found fast."""
    if len(cells) == 0 or not pc.all(pc.match_substring_regex(cells[:_SAMPLE], _WHOLE)).as_py():
        return None  # a cast that fails is slow: it finds words for every cell
    try:
        numbers = cells.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    if not numbers.cast(pa.string()).equals(cells):
        return None
    ends = pc.min_max(numbers)
    largest = max(abs(ends["min"].as_py()), abs(ends["max"].as_py()))
    in_double = largest <= 2**53 or first_not_kept(cells, exponents=False) is None
    return Numbers(finite=True, in_double=in_double, digits=len(str(largest)))


def _of_finite(cells: pa.Array, *, exponents: bool) -> Numbers:
    """Of numbers with a fraction or more digits than int64 has, whose digits are all looked at."""
    if len(cells) == 0:
        return Numbers()
    lengths, point = pc.binary_length(cells), pc.find_substring(cells, ".")
    signs = pc.starts_with(cells, "-")
    minus_zero = bool(pc.any(signs).as_py() and pc.any(pc.match_substring_regex(cells, _MINUS_ZERO)).as_py())
    before = pc.subtract(pc.if_else(pc.less(point, 0), lengths, point), signs.cast(pa.int32()))
    after = pc.if_else(pc.less(point, 0), 0, pc.subtract(pc.subtract(lengths, point), 1))
    digits, places = int(pc.max(before).as_py()), int(pc.max(after).as_py())
    whole = not (places or exponents or minus_zero)
    short = not exponents and int(pc.max(lengths).as_py()) <= _IN_DOUBLE
    return Numbers(
        finite=True,
        fractions=not whole,
        float_only=exponents or minus_zero,
        in_int64=whole and (digits <= _IN_INT64 or all(map(_is_int64, cells.to_pylist()))),
        in_double=short or first_not_kept(cells, exponents=exponents) is None,
        digits=digits,
        places=places,
    )


def _is_int64(cell: str) -> bool:
    return len(cell) <= 20 and -(2**63) <= int(cell) < 2**63
