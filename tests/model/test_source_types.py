"""The closed list of source types: everything else is refused with its path, its name and the way out."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.model.source_types import plain_type

BYTES = pa.binary(16)


def named(name: str, storage: pa.DataType, details: object = None) -> pa.Field:
    """An extension type as it arrives when Arrow does not know it."""
    metadata: dict[str, str] = {"ARROW:extension:name": name}
    if details is not None:
        metadata["ARROW:extension:metadata"] = json.dumps(details)
    return pa.field("v", storage, metadata=metadata)


def plain(field: pa.Field) -> pa.DataType:
    return plain_type(field.type, field.metadata, field.name)


@pytest.mark.parametrize(
    ("field", "type_"),
    [
        (named("arrow.uuid", BYTES), pa.string()),
        (named("arrow.json", pa.string_view()), pa.large_string()),
        (named("arrow.bool8", pa.int8()), pa.bool_()),
        (named("arrow.opaque", BYTES, {"vendor_name": "DuckDB", "type_name": "hugeint"}), pa.decimal128(38, 0)),
        (named("google:sqlType:datetime", pa.timestamp("us")), pa.timestamp("us")),
        (pa.field("v", pa.dictionary(pa.int8(), pa.string_view())), pa.large_string()),
        (pa.field("v", pa.dictionary(pa.int8(), pa.run_end_encoded(pa.int16(), pa.uuid()))), pa.string()),
        (pa.field("v", pa.list_view(named("arrow.uuid", BYTES))), pa.list_(pa.string())),
        (pa.field("v", pa.list_(pa.int8()), metadata={"PARQUET:field_id": "1"}), pa.list_(pa.int8())),
    ],
    ids=str,
)
def test_encodings_and_known_extension_types_stand_for_their_values(field: pa.Field, type_: pa.DataType) -> None:
    assert plain(field).equals(type_)


OPAQUE = {"vendor_name": "DuckDB", "type_name": "time_tz"}
REFUSED: Mapping[str, tuple[pa.Field, str, str, str]] = {  # case -> field, path, what is named, what the remedy says
    "unknown": (named("polars.object", pa.binary(8)), "v", "polars.object", "storage"),
    "opaque": (named("arrow.opaque", pa.binary(8), OPAQUE), "v", "DuckDB.time_tz", "::TIME"),
    "opaque without details": (named("arrow.opaque", BYTES), "v", "arrow.opaque", "storage"),
    "registered opaque": (pa.field("v", pa.opaque(pa.binary(), "bit", "DuckDB")), "v", "DuckDB.bit", "VARCHAR"),
    "other storage": (named("arrow.uuid", pa.string()), "v", "arrow.uuid (kept as string)", "storage"),
    "period": (named("pandas.period", pa.int64()), "v", "pandas.period", "to_timestamp"),
    "interval type of pandas": (named("pandas.interval", pa.struct([("left", pa.int64())])), "v", "pandas", "column"),
    "tensor": (pa.field("v", pa.fixed_shape_tensor(pa.int8(), (2, 2))), "v", "fixed_shape_tensor", "nested lists"),
    "geometry": (named("geoarrow.wkb", pa.binary()), "v", "geoarrow.wkb", "well-known text"),
    "variant": (named("arrow.parquet.variant", pa.struct([("value", pa.binary())])), "v", "variant", "JSON"),
    "in a list": (pa.field("v", pa.list_(named("x.y", BYTES))), "v[]", "x.y", "storage"),
    "in a struct": (pa.field("v", pa.struct([named("x.y", BYTES).with_name("inner")])), "v.inner", "x.y", "storage"),
    "in a map": (pa.field("v", pa.map_(pa.string(), named("x.y", BYTES))), "v{value}", "x.y", "storage"),
    "in a dictionary": (pa.field("v", pa.dictionary(pa.int8(), pa.opaque(BYTES, "a", "b"))), "v", "b.a", "storage"),
    "calendar interval": (pa.field("v", pa.month_day_nano_interval()), "v", "month_day_nano", "months"),
    "union": (pa.field("v", pa.dense_union([pa.field("a", pa.int8())])), "v", "union", "one column per type"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_type_that_is_not_listed_is_refused_with_path_name_and_way_out(case: str) -> None:
    field, path, name, remedy = REFUSED[case]
    with pytest.raises(InvalidData) as caught:
        plain(field)
    assert repr(path) in str(caught.value)
    assert name in str(caught.value)
    assert remedy in caught.value.hint
