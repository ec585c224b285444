"""Nanoseconds as microseconds: refused unless they are whole, rounded, or truncated, as the dataset says."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.model.dataset import SubMicroseconds

_FINE = 1000  # nanoseconds in a microsecond


def to_microseconds(array: pa.Array, target: pa.DataType, fine: SubMicroseconds) -> pa.Array:
    """A timestamp, time or duration in nanoseconds as `target`, in microseconds; `ArrowInvalid` for a refused digit.

    Truncating goes to the microsecond before, also before 1970; rounding to the nearest one, a half to the even one.
    """
    if fine is SubMicroseconds.REFUSE:
        return array.cast(target)
    nanoseconds = array.view(pa.int64())
    whole = _floor(nanoseconds)
    if fine is SubMicroseconds.ROUND:
        whole = _rounded(whole, pc.subtract(nanoseconds, pc.multiply(whole, _FINE)))
    return whole.view(target)


def _floor(nanoseconds: pa.Array) -> pa.Array:
    towards_zero = pc.divide(nanoseconds, _FINE)
    below = pc.less(nanoseconds, pc.multiply(towards_zero, _FINE))
    return pc.subtract(towards_zero, below.cast(pa.int64()))


def _rounded(whole: pa.Array, rest: pa.Array) -> pa.Array:
    half = pc.equal(rest, _FINE // 2)
    is_odd = pc.equal(pc.bit_wise_and(whole, 1), 1)
    up = pc.or_(pc.greater(rest, _FINE // 2), pc.and_(half, is_odd))
    return pc.add(whole, up.cast(pa.int64()))
