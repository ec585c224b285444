"""Dates and times in text: ISO 8601, full dates, alone or with a time of day, with or without an offset from UTC.

2013-01-01    2013-01-01T05:00    2013-01-01 05:00:00.25    2013-01-01T05:00:00Z    2013-01-01 06:00:00+01:00
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.ingest.values.exact_cast import is_in_range
from timestore_pipeline.model.canonical import TIMESTAMP, TIMESTAMP_UTC
from timestore_pipeline.model.dataset import SubMicroseconds

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_LOCAL = _DAY + r"[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
_PATTERNS = {
    pa.date32(): f"^{_DAY}$",
    TIMESTAMP: f"^{_LOCAL}$",
    TIMESTAMP_UTC: f"^{_LOCAL}(?:Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)$",
}
_USUAL = {  # characters
    pa.date32(): len("2013-01-01"),
    TIMESTAMP: len("2013-01-01 05:00:00"),
    TIMESTAMP_UTC: len("2013-01-01T05:00:00Z"),
}
TIMES = tuple(_PATTERNS)
_TOO_FINE = r"\.[0-9]{6}[0-9]*[1-9]"
_TO_NEXT_DAY = r"^23:59:59\.999999[5-9]"  # the half too: the even microsecond is the one after
_SHORT = len("2013-01-01T05:00:00.123456")
_CUT = r"(\.[0-9]{6})[0-9]+"


def are_times(cells: pa.Array, type_: pa.DataType, *, storable: bool = False) -> pa.BooleanArray:
    """Which of the cells, none of them null, are values of `type_`, one of `TIMES`, however fine.

    storable: and of the years 0001 to 9999 in UTC.
    """
    lengths = pc.binary_length(cells)
    if pc.all(pc.equal(lengths, _USUAL[type_])).as_py() and _casts(cells, type_, storable=storable):
        return pc.equal(lengths, _USUAL[type_])  # of this length nothing else can be cast, and the pattern is slow
    shaped = pc.match_substring_regex(cells, _PATTERNS[type_])
    chosen = cells if pc.all(shaped).as_py() else cells.filter(shaped)
    if len(chosen) == 0 or _casts(_cut(chosen), type_, storable=storable):
        return shaped
    return pa.array(
        [ok and _casts(_cut(cells[at : at + 1]), type_, storable=storable) for at, ok in enumerate(shaped.to_pylist())]
    )


def spelled_out(cells: pa.Array, type_: pa.DataType, *, local_as_utc: bool) -> pa.Array:
    """Cells as a known column of `type_` has them: a date is its midnight. local_as_utc: no offset means UTC."""
    lengths = pc.binary_length(cells)
    if type_ == TIMESTAMP_UTC and local_as_utc and pc.any(pc.not_equal(lengths, _USUAL[type_])).as_py():
        cells = pc.replace_substring_regex(cells, f"^({_LOCAL})$", r"\1Z")
    if pa.types.is_timestamp(type_) and pc.any(pc.equal(lengths, _USUAL[pa.date32()])).as_py():
        midnight = "T00:00Z" if type_ == TIMESTAMP_UTC else "T00:00"
        cells = pc.replace_substring_regex(cells, f"^({_DAY})$", rf"\1{midnight}")
    return cells


def are_too_fine(cells: pa.Array, *, of_day: bool = False) -> pa.BooleanArray:
    """Which of the times have more digits than microseconds, zeros at the end aside. of_day: they have no date."""
    if not of_day and _are_short(cells):
        return pc.greater(pc.binary_length(cells), _SHORT)  # none
    return pc.match_substring_regex(cells, _TOO_FINE)


def round_to_next_day(cells: pa.Array) -> pa.BooleanArray:
    """Which of the times of day are 24:00 to the nearest microsecond."""
    return pc.match_substring_regex(cells, _TO_NEXT_DAY)


def parse_times(cells: pa.Array, type_: pa.DataType, finer: SubMicroseconds) -> pa.Array:
    """Cells that are times, or null, as `type_`; ArrowInvalid for others. Those that are too fine must be allowed."""
    times = _cut(cells).cast(type_)
    if finer is not SubMicroseconds.ROUND or not pc.any(are_too_fine(cells)).as_py():
        return times
    up = pa.array([_rounds_up(cell) for cell in cells.to_pylist()], pa.int64())
    return pc.add(times.cast(pa.int64()), up).cast(type_)


def _cut(cells: pa.Array) -> pa.Array:
    if _are_short(cells) or not pc.any(pc.match_substring_regex(cells, _CUT)).as_py():
        return cells
    return pc.replace_substring_regex(cells, _CUT, r"\1")


def _rounds_up(cell: str | None) -> int:
    """Microseconds to add to what is left of the cell after cutting: to the nearest one, a half to the even one."""
    if cell is None or "." not in cell:
        return 0
    digits = cell.partition(".")[2].rstrip("Z").partition("+")[0].partition("-")[0]
    kept, rest = digits[:6], digits[6:]
    half = "5".ljust(len(rest), "0")
    return int(bool(rest) and (rest > half or (rest == half and int(kept[-1]) % 2 == 1)))


def _are_short(cells: pa.Array) -> bool:
    """Whether no cell has room for more digits than microseconds."""
    return int(pc.max(pc.binary_length(cells)).as_py() or 0) <= _SHORT


def _casts(cells: pa.Array, type_: pa.DataType, *, storable: bool) -> bool:
    try:
        times = cells.cast(type_)
    except pa.ArrowInvalid:
        return False
    return not storable or is_in_range(times)
