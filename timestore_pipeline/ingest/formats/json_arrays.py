"""Values of JSON rows as Arrow arrays of the type that was settled for their column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from timestore_pipeline.ingest.formats.json_shape import number_refused
from timestore_pipeline.ingest.formats.known_text import KnownColumn
from timestore_pipeline.ingest.formats.numbers import keeps
from timestore_pipeline.ingest.formats.text_times import TIMES
from timestore_pipeline.model.dataset import SubMicroseconds
from timestore_pipeline.model.refusals import Cell, refused_cell


@dataclass(frozen=True, slots=True)
class ArrayBuilder:
    """Of one file. Every value must be of the kind of its type; raises `InvalidData` that names line and path."""

    file: Path
    finer: SubMicroseconds

    def column(self, values: Sequence[Any], type_: pa.DataType, path: str, places: Sequence[str]) -> pa.Array:
        """places: where each value stands."""
        if pa.types.is_struct(type_):
            return self._structs(values, type_, path, places)
        if pa.types.is_list(type_):
            return self._lists(values, type_, path, places)
        if pa.types.is_floating(type_):
            return self._doubles(values, path, places)
        if pa.types.is_decimal(type_):
            return pa.array([None if value is None else Decimal(str(value)) for value in values], type_)
        if type_ in TIMES:
            return self._times(values, type_, path, places)
        return pa.array(values, type_)

    def _structs(self, values: Sequence[Any], type_: pa.StructType, path: str, places: Sequence[str]) -> pa.Array:
        if type_.num_fields == 0:
            return pa.array(values, type_)
        children = [
            self.column(
                [None if value is None else value.get(field.name) for value in values],
                field.type,
                f"{path}.{field.name}",
                places,
            )
            for field in type_
        ]
        return pa.StructArray.from_arrays(children, fields=list(type_), mask=_nulls(values))

    def _lists(self, values: Sequence[Any], type_: pa.ListType, path: str, places: Sequence[str]) -> pa.Array:
        offsets, inner = [0], list[str]()
        for value, place in zip(values, places, strict=True):
            inner += [place] * len(value or ())
            offsets.append(len(inner))
        flat = list(chain.from_iterable(value or () for value in values))
        items = self.column(flat, type_.value_type, f"{path}[]", inner)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items, type=type_, mask=_nulls(values))

    def _doubles(self, values: Sequence[Any], path: str, places: Sequence[str]) -> pa.Array:
        for value, place in zip(values, places, strict=True):
            if value is not None and not keeps(str(value)):
                raise number_refused(self.file, place, path, str(value), "a double does not keep")
        return pa.array([None if value is None else float(value) for value in values], pa.float64())

    def _times(self, values: Sequence[Any], type_: pa.DataType, path: str, places: Sequence[str]) -> pa.Array:
        known, text = KnownColumn(type_), pa.array(values, pa.string())
        for value, place, ok in zip(values, places, known.reads(text).to_pylist(), strict=True):
            if value is not None and not ok:
                hint = "write it in ISO 8601, with an offset where the column has one"
                raise refused_cell(self.file, Cell(place, value), path, f"is no {known.description}", hint)
        return known.parse(text, self.finer)


def _nulls(values: Sequence[Any]) -> pa.BooleanArray:
    return pa.array([value is None for value in values], pa.bool_())
