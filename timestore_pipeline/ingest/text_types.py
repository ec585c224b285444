"""What a column of text means: settled over a whole file, so that its type cannot change from one block to the next.

Every block is asked for the narrowest type that reads all its values; the answers are joined. Decimal fractions become
the nearest float64, as everywhere. What fits nothing stays text.
"""

from __future__ import annotations

from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.model.canonical import TIMESTAMP, TIMESTAMP_UTC

_NANOS, _NANOS_UTC = pa.timestamp("ns"), pa.timestamp("ns", "UTC")
TIMES = (pa.date32(), TIMESTAMP, _NANOS, TIMESTAMP_UTC, _NANOS_UTC)
NUMBERS = (pa.int64(), pa.decimal128(38, 0), pa.float64(), pa.bool_())
_WHOLE_NUMBER = r"^-?\d+$"  # without it Arrow would read 0x1f as 31 and 1.0 as an integer
_TRUTH = r"^(?i:true|false)$"  # without it Arrow would read 1 as true
_PATTERNS = {pa.int64(): _WHOLE_NUMBER, pa.decimal128(38, 0): _WHOLE_NUMBER, pa.bool_(): _TRUTH}
_MISSING = ("", "NA", "N/A", "#N/A", "null", "NULL")  # null unless the column is text; NaN is a float
_SAMPLE = 8  # values that rule out most types before a whole block is parsed
_WIDER = {  # pairs of types and what holds both; every other pair is text
    frozenset({pa.int64(), pa.float64()}): pa.float64(),
    frozenset({pa.int64(), pa.decimal128(38, 0)}): pa.decimal128(38, 0),
    frozenset({pa.decimal128(38, 0), pa.float64()}): pa.float64(),
    frozenset({pa.date32(), TIMESTAMP}): TIMESTAMP,
    frozenset({pa.date32(), _NANOS}): _NANOS,
    frozenset({TIMESTAMP, _NANOS}): _NANOS,
    frozenset({TIMESTAMP_UTC, _NANOS_UTC}): _NANOS_UTC,
}


def narrowest_type(text: pa.Array, candidates: tuple[pa.DataType, ...]) -> pa.DataType:
    """The first of `candidates` that reads every value, string when none does, null when there is no value at all."""
    values = _without_markers(text).drop_null()
    if len(values) == 0:
        return pa.null()
    sample = values[:_SAMPLE]
    return next((t for t in candidates if _reads(sample, t) and _reads(values, t)), pa.string())


def join(*types: pa.DataType) -> pa.DataType:
    """The type that reads what each of `types` reads."""
    return reduce(_join_two, types)


def parse_text(text: pa.Array, type_: pa.DataType) -> pa.Array:
    """`text` as the settled `type_`; ArrowInvalid if a value is not of that type."""
    if pa.types.is_string(type_):
        return text
    if pa.types.is_null(type_):
        return pa.nulls(len(text))
    return _without_markers(text).cast(type_)


def _join_two(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    return _WIDER.get(frozenset({one, other}), pa.string())


def _without_markers(text: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_in(text, pa.array(_MISSING)), pa.scalar(None, text.type), text)


def _reads(values: pa.Array, type_: pa.DataType) -> bool:
    pattern = _PATTERNS.get(type_)
    if pattern is not None and not pc.all(pc.match_substring_regex(values, pattern)).as_py():
        return False
    try:
        values.cast(type_)
    except pa.ArrowInvalid:
        return False
    return True
