"""The least and the greatest value of a column."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

_FEW = 200  # rows that Python looks through in less time than Arrow takes to begin
_FORMATS: dict[int, Literal["i", "q"]] = {32: "i", 64: "q"}  # by bits of a value


def ends_of(values: pa.Array | pa.ChunkedArray) -> tuple[Any, Any]:
    """Of int64, decimal128, or dates and times as the numbers that stand for them; None = no value but null."""
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    format_ = _FORMATS.get(values.type.bit_width)
    if format_ and len(chunks) == 1 and 0 < len(values) <= _FEW and not values.null_count:
        return _ends_of_few(chunks[0], format_)
    ends = pc.min_max(values)
    return _number(ends["min"]), _number(ends["max"])


def _ends_of_few(array: pa.Array, format_: Literal["i", "q"]) -> tuple[int, int]:
    """The same of an array with a value in each row."""
    size = array.type.bit_width // 8
    content = memoryview(array.buffers()[1])[array.offset * size : (array.offset + len(array)) * size]
    numbers = content.cast(format_)
    return min(numbers), max(numbers)


def _number(value: pa.Scalar) -> Any:
    return value.value if hasattr(value, "value") else value.as_py()
