"""Frames of pandas, Polars and DuckDB before Arrow sees them: what their Arrow export loses is put right or refused.

They are known by their module and asked by name: none of the libraries need be installed.

Arrow's C interface ends a name at its first NUL. pyarrow and DuckDB cut it there; Polars and arro3 (what deltalake
returns) abort the process, which no exception handler can prevent. So names are checked before anything is exported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.values.handed_over import table_of
from timestore_pipeline.ingest.values.rows import array_from_values
from timestore_pipeline.model.canonical import check_field_names
from timestore_pipeline.model.refusals import refused_type, too_many_digits

_DOUBLE_BYTES = 8
DUCKDB_REMEDIES = {  # DuckDB exports most of these as bytes, or without what made them different
    "bit": "cast it: column::VARCHAR",
    "time with time zone": "cast it: column::TIME where the offset does not matter, or send a TIMESTAMPTZ",
    "bignum": "cast it: column::DECIMAL(38,0), or column::VARCHAR",
    "varint": "cast it: column::DECIMAL(38,0), or column::VARCHAR",
}


def exportable(data: Any) -> Any:
    """`data` in a form whose Arrow export keeps every value; raises `InvalidData` naming the column that has none."""
    for kind in type(data).__mro__:
        module = kind.__module__.partition(".")[0].removeprefix("_")
        prepare = _LIBRARIES.get((module, kind.__name__))
        if prepare is not None:
            return prepare(data)
    return data


def _from_pandas(frame: Any) -> Any:
    if frame.columns.nlevels > 1:
        hint = "name each column by one string: frame.columns = ['_'.join(map(str, name)) for name in frame.columns]"
        raise InvalidData(f"the columns of the pandas frame are tuples, such as {frame.columns[0]!r}", hint=hint)
    _check_pandas_names(frame.columns)
    changed = {i: _pandas_column(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns)}
    changed = {position: column for position, column in changed.items() if column is not None}
    index = _pandas_index(frame.index)
    if changed or index is not None:
        frame = frame.copy(deep=False)
        for position, column in changed.items():
            frame.isetitem(position, column)
        frame.index = frame.index if index is None else index
    return pa.Table.from_pandas(frame)


def _check_pandas_names(names: Iterable[Any]) -> None:
    seen = set()
    for name in map(str, names):
        if name in seen:
            raise InvalidData(f"column {name!r} is there twice in the pandas frame", hint="rename one of them")
        seen.add(name)


def _pandas_column(name: str, column: Any) -> Any:
    """The column for Arrow, None = as it is."""
    dtype = column.dtype
    if hasattr(column, "sparse"):
        return column.sparse.to_dense()
    if dtype.kind == "c":
        raise refused_type(name, dtype, "send the real and the imaginary part as a column each")
    if dtype.kind == "f" and dtype.itemsize > _DOUBLE_BYTES:
        raise refused_type(name, dtype, "round it to double: astype('float64')")
    objects = _pandas_objects(name, column)
    return None if objects is None else sys.modules["pandas"].Series(objects, index=column.index)


def _pandas_index(index: Any) -> Any:
    """The index for Arrow, None = as it is. A level without a name is no column."""
    levels = [index.get_level_values(number) for number in range(index.nlevels)]
    objects = [None if level.name is None else _pandas_objects(str(level.name), level) for level in levels]
    if all(level is None for level in objects):
        return None
    changed = [level if new is None else new for level, new in zip(levels, objects, strict=True)]
    pandas = sys.modules["pandas"]
    if len(changed) == 1:
        return pandas.Index(changed[0], name=index.name)
    return pandas.MultiIndex.from_arrays(changed, names=index.names)


def _pandas_objects(name: str, values: Any) -> Any:
    """Objects one by one, and categories of objects that are not text; None = there are none: Arrow reads the rest."""
    dtype = values.dtype
    if str(dtype) == "category":
        if str(dtype.categories.dtype) != "object" or set(map(type, dtype.categories)) <= {str}:
            return None
    elif str(dtype) != "object":
        return None
    array = array_from_values(name, [None if _is_missing(value) else value for value in values])
    return sys.modules["pandas"].arrays.ArrowExtensionArray(pa.chunked_array([array]))


def _is_missing(value: Any) -> bool:
    """Among objects pandas takes NaN for a missing value; its NaT and NA are known to `rows`."""
    return value is None or (isinstance(value, float) and value != value)


def _from_polars(frame: Any) -> Any:
    """With 128-bit integers, which Arrow has no name for, as decimals; Python objects would arrive as addresses."""
    polars = sys.modules["polars"]
    check_field_names(frame.columns, "")
    for name, dtype in frame.schema.items():
        wanted = _polars_type(polars, name, dtype)
        if wanted != dtype:
            _check_digits(polars, frame, name)
            frame = frame.with_columns(polars.col(name).cast(wanted))
    return frame


def _from_polars_series(series: Any) -> Any:
    """One of structs without gaps is a frame."""
    polars = sys.modules["polars"]
    check_field_names(filter(None, [series.name]), "")
    _polars_type(polars, series.name, series.dtype)
    is_frame = series.dtype == polars.Struct and not series.null_count()
    return _from_polars(series.struct.unnest()) if is_frame else series


def _polars_type(polars: Any, name: str, dtype: Any) -> Any:
    """The type to export; raises `InvalidData` for Python objects and for names with NUL, at any depth."""
    if dtype == polars.Object:
        raise refused_type(name, "Object of Polars", "cast the column to a type of its own, such as pl.String")
    if dtype in (polars.Int128, polars.UInt128):
        return polars.Decimal(38, 0)
    if isinstance(dtype, polars.List):
        return polars.List(_polars_type(polars, name, dtype.inner))
    if isinstance(dtype, polars.Array):
        return polars.Array(_polars_type(polars, name, dtype.inner), dtype.size)
    if isinstance(dtype, polars.Struct):
        check_field_names([field.name for field in dtype.fields], name)
        return polars.Struct({field.name: _polars_type(polars, name, field.dtype) for field in dtype.fields})
    return dtype


def _from_arro3(data: Any) -> Any:
    """Its panic can be caught here, and not any more inside the export."""
    try:
        len(data.schema)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        hint = "rename the column or field whose name contains NUL"
        raise InvalidData(f"arro3 cannot export the names of its columns: {error}", hint=hint) from error
    return data


def _check_digits(polars: Any, frame: Any, name: str) -> None:
    """Polars casts strictly, but its message is about expressions.

    Times beside the integers are looked at as the integers that they are: Python has none after 9999 in a zone's time.
    """
    for row, value in enumerate(frame[name].to_physical()):
        for number in _integers(polars, value):
            if abs(number) >= 10**38:
                raise too_many_digits(name, number).in_row(row)


def _integers(polars: Any, value: Any) -> Iterable[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, (list, polars.Series)):
        for inner in value:
            yield from _integers(polars, inner)
    elif isinstance(value, dict):
        yield from _integers(polars, list(value.values()))


def _from_duckdb(relation: Any) -> Any:
    check_field_names(relation.columns, "")
    for name, type_ in zip(relation.columns, relation.types, strict=True):
        _check_duckdb(name, type_)
    wide = [name for name, type_ in zip(relation.columns, relation.types, strict=True) if type_.id == "uhugeint"]
    return _without_wrapped(table_of(relation), wide) if wide else relation


def _without_wrapped(table: pa.Table, wide: list[str]) -> pa.Table:
    """DuckDB exports a UHUGEINT of 2**127 or more as a negative decimal, unless Arrow's conversion is lossless."""
    for name in wide:
        column = table.column(name)
        row = pc.index(pc.less(column, 0), True).as_py() if pa.types.is_decimal(column.type) else -1
        if row >= 0:
            raise too_many_digits(name, int(column[row].as_py()) + 2**128).in_row(row)
    return table


def _check_duckdb(path: str, type_: Any) -> None:
    if type_.id in DUCKDB_REMEDIES:
        raise refused_type(path, f"{type_} of DuckDB", DUCKDB_REMEDIES[type_.id])
    if type_.id in ("list", "array", "struct", "map"):
        if type_.id == "struct":
            check_field_names([name for name, _ in type_.children], path)
        children = [(_below(path, type_.id, name), child) for name, child in type_.children if hasattr(child, "id")]
        for inner, child in children:  # an array's size stands among them, as a number
            if child.id == "uhugeint":
                raise refused_type(inner, f"{child} of DuckDB", "cast it: to DECIMAL(38,0), or to VARCHAR")
            _check_duckdb(inner, child)


def _below(path: str, kind: str, name: str) -> str:
    if kind == "struct":
        return f"{path}.{name}"
    return f"{path}[]" if kind in ("list", "array") else f"{path}{{{name}}}"


_LIBRARIES: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("pandas", "DataFrame"): _from_pandas,
    ("polars", "DataFrame"): _from_polars,
    ("polars", "Series"): _from_polars_series,
    ("arro3", "Table"): _from_arro3,
    ("arro3", "RecordBatch"): _from_arro3,
    ("arro3", "RecordBatchReader"): _from_arro3,
    ("duckdb", "DuckDBPyRelation"): _from_duckdb,
}
