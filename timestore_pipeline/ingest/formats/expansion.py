"""What a table takes once every encoding in it is undone, without undoing any.

Arrow data can say a lot in few bytes: a dictionary of one long value, a run of a billion rows, views that all show the
same text. Staging undoes all of that, so a table is measured before. For valid tables only: nothing here checks bounds.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.model.canonical import MOST_FIELDS, check_field_names, fields_of

_OFFSET = 8  # bytes
_NUMBER = 8  # bytes; int8 is kept as int64


def check_shape(schema: pa.Schema) -> None:
    """Raises `InvalidData` for schemas that are never staged on purpose, and take seconds each to create."""
    if len(schema) == 0:
        raise InvalidData("the body has no columns", hint="send at least one column")
    fields = sum(fields_of(field.type) for field in schema)
    if fields > MOST_FIELDS:
        raise InvalidData(f"the body has {fields} columns and fields", hint=f"send at most {MOST_FIELDS}")
    try:
        check_names(schema)
    except UnicodeDecodeError as error:
        raise InvalidData("the name of a column or field is not UTF-8", hint="write names in UTF-8") from error


def check_names(fields: Iterable[pa.Field], parent: str = "") -> None:
    """Raises `InvalidData` for a name, at any depth, that no dataset takes, `UnicodeDecodeError` for no text."""
    fields = list(fields)
    check_field_names((field.name for field in fields), parent)
    for field in fields:
        inner = [field.type.field(index) for index in range(field.type.num_fields)]
        if pa.types.is_struct(field.type):
            check_names(inner, field.name)
        else:
            for one in inner:
                check_names([one], field.name)


def plain_bytes(table: pa.Table) -> int:
    """An upper bound for the types in which rows are kept, where a number takes eight bytes; at least one per value."""
    return sum(_array(chunk) for column in table.columns for chunk in column.chunks)


def _array(array: pa.Array) -> int:
    t, type_ = pa.types, array.type
    if isinstance(array, pa.ExtensionArray):
        return _array(array.storage)
    if t.is_dictionary(type_):
        return _taken(array.dictionary, array.indices)
    if t.is_run_end_encoded(type_):
        return len(array) * _widest(array.values)
    if t.is_string_view(type_) or t.is_binary_view(type_):
        return sum(_view_lengths(array)) + len(array) * _OFFSET
    if t.is_list_view(type_) or t.is_large_list_view(type_):
        return _sum(pc.list_value_length(array)) * _widest(array.values) + len(array) * _OFFSET
    return max(_nested(array), int(array.nbytes), len(array) * _width(type_))


def _width(type_: pa.DataType) -> int:
    """Bytes of one value at least."""
    is_bit = pa.types.is_boolean(type_) or pa.types.is_null(type_)
    return 1 if is_bit or not pa.types.is_primitive(type_) else max(_NUMBER, int(type_.bit_width) // 8)


def _nested(array: pa.Array) -> int:
    t, type_ = pa.types, array.type
    if t.is_struct(type_):
        return sum(_array(array.field(index)) for index in range(type_.num_fields))
    if t.is_map(type_):
        return sum(_array(_own(array, values)) for values in (array.keys, array.items)) + len(array) * _OFFSET
    if t.is_list(type_) or t.is_large_list(type_):
        return _array(_own(array, array.values)) + len(array) * _OFFSET
    if t.is_fixed_size_list(type_):
        size = type_.list_size
        return _array(array.values.slice(array.offset * size, len(array) * size)) + len(array) * _OFFSET
    return 0


def _own(lists: pa.Array, values: pa.Array) -> pa.Array:
    """Those of the values that a slice of lists has."""
    if len(lists) == 0:
        return values.slice(0, 0)
    first, last = lists.offsets[0].as_py(), lists.offsets[-1].as_py()
    return values.slice(first, last - first)


def _taken(values: pa.Array, indices: pa.Array) -> int:
    if _is_text(values.type):
        return _sum(pc.binary_length(values).take(indices)) + len(indices) * _OFFSET
    return len(indices) * _widest(values)


def _widest(values: pa.Array) -> int:
    """Bytes of the largest value, or of all together where that is not known."""
    if _is_text(values.type):
        return int(pc.max(pc.binary_length(values)).as_py() or 0) + _OFFSET
    if pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):
        return max(_view_lengths(values), default=0) + _OFFSET
    if pa.types.is_primitive(values.type) and not pa.types.is_boolean(values.type):
        return _width(values.type)
    return max(1, _array(values))


def _is_text(type_: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_string(type_) or t.is_large_string(type_) or t.is_binary(type_) or t.is_large_binary(type_))


def _view_lengths(array: pa.Array) -> memoryview:
    """Lengths of a view array's texts, for which Arrow has no function: a view is four int32, and that one is first."""
    views = memoryview(array.buffers()[1] or b"").cast("i")
    return views[4 * array.offset : 4 * (array.offset + len(array)) : 4]


def _sum(numbers: pa.Array) -> int:
    return int(pc.sum(numbers).as_py() or 0)
