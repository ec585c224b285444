"""The product made wrong on purpose, in one place at a time: each shows that the property can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from timestore_pipeline.doors.http import body_reading
from timestore_pipeline.doors.landing import intake
from timestore_pipeline.ingest import staging_loop
from timestore_pipeline.ingest.catalog import DatasetCatalog, Fitted
from timestore_pipeline.lake import faults, features, handle

Mutate = Callable[[pytest.MonkeyPatch], None]
_Change = Callable[[pa.ChunkedArray], pa.ChunkedArray]


def _columns(applies: Callable[[pa.DataType], bool], change: _Change) -> Mutate:
    """Change the values of some columns after they were checked and before they are staged."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        fit = DatasetCatalog.fit

        def wrong(self: DatasetCatalog, dataset: str, rows: pa.Table) -> Fitted:
            fitted = fit(self, dataset, rows)
            table = fitted.rows
            for place, field in enumerate(table.schema):
                if applies(field.type):
                    table = table.set_column(place, field, change(table.column(place)))
            return replace(fitted, rows=table)

        patch.setattr(DatasetCatalog, "fit", wrong)

    return mutate


def _without_leading_zero(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(column, r"^0([0-9])", r"\1")


def _without_quotes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring(column, '"', "")


def _null_for_empty(column: pa.ChunkedArray) -> pa.ChunkedArray:
    empty = pc.fill_null(pc.equal(pc.list_value_length(column), 0), False)
    nothing = pa.array([None if is_empty else place for place, is_empty in enumerate(empty.to_pylist())], pa.int64())
    return column.take(nothing)


def _milliseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    numbers = column.cast(pa.int64())
    return pc.multiply(pc.divide(numbers, 1_000), 1_000).cast(column.type)


def _closed_quotes(patch: pytest.MonkeyPatch) -> None:
    """A quote that is open at the end of a file is closed there."""
    for module in (staging_loop, intake, body_reading):
        patch.setattr(module, "open_source", _closing(module.open_source))


def _closing(open_source: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(path: Path, *more: Any, **named: Any) -> Any:
        content = path.read_bytes()
        if path.suffix == ".csv" and content.count(b'"') % 2:
            path.write_bytes(content.rstrip(b"\n") + b'"\n')
        return open_source(path, *more, **named)

    return wrong


def _without_table_feature(patch: pytest.MonkeyPatch) -> None:
    """As if deltalake saw by itself that a local time in a map demands `timestampNtz`."""
    patch.setattr(features, "is_overlooked", lambda _: False)
    patch.setattr(handle, "_lacks_feature", lambda *_: False)
    patch.setattr(faults, "lacks_feature", lambda _: False)


MUTANTS: dict[str, Mutate] = {
    "a float is rounded": _columns(pa.types.is_float64, lambda column: pc.round(column, 3)),
    "a leading zero is dropped": _columns(pa.types.is_string, _without_leading_zero),
    "a quote is swallowed": _columns(pa.types.is_string, _without_quotes),
    "a quote that stays open is closed": _closed_quotes,
    "an empty list is null": _columns(pa.types.is_list, _null_for_empty),
    "microseconds are cut off": _columns(pa.types.is_timestamp, _milliseconds),
    "a local time in a map is published without its table feature": _without_table_feature,
}
