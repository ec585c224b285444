"""What a dataset that exists accepts, and what it refuses with the column and both types."""

from __future__ import annotations

import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidData, SchemaConflict
from timestore_pipeline.model.columns import TIMESTAMP, TIMESTAMP_UTC, evolve
from timestore_pipeline.model.dataset import Evolution

ADDITIVE, STRICT = Evolution.ADDITIVE, Evolution.STRICT
POINT = pa.struct([("x", pa.int64()), ("tags", pa.list_(pa.string()))])


def schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


def test_the_first_batch_sets_the_schema() -> None:
    assert evolve(None, schema(a=pa.int8()), STRICT).equals(schema(a=pa.int64()))


def test_new_columns_are_appended_and_old_ones_keep_their_order() -> None:
    existing = schema(b=pa.int64(), a=pa.string())
    evolved = evolve(existing, schema(c=pa.float32(), a=pa.string(), d=pa.null()), ADDITIVE)
    assert evolved.equals(schema(b=pa.int64(), a=pa.string(), c=pa.float64()))


@pytest.mark.parametrize("evolution", list(Evolution))
def test_missing_columns_are_always_allowed(evolution: Evolution) -> None:
    existing = schema(a=pa.int64(), b=pa.string())
    assert evolve(existing, schema(b=pa.large_string()), evolution) is existing


def test_strict_refuses_an_unknown_column_by_name() -> None:
    with pytest.raises(SchemaConflict, match="'b'") as caught:
        evolve(schema(a=pa.int64()), schema(a=pa.int64(), b=pa.int8()), STRICT)
    assert (caught.value.column, caught.value.incoming) == ("b", "int8")
    assert "additive" in caught.value.hint


@pytest.mark.parametrize("evolution", list(Evolution))
@pytest.mark.parametrize(
    ("existing", "incoming"),
    [
        (pa.int64(), pa.uint32()),
        (pa.float64(), pa.int32()),
        (pa.decimal128(38, 4), pa.int64()),
        (pa.decimal128(38, 4), pa.decimal128(10, 2)),
        (pa.decimal128(38, 0), pa.uint64()),
        (TIMESTAMP, pa.date32()),
        (TIMESTAMP_UTC, pa.date64()),
        (TIMESTAMP_UTC, pa.timestamp("ns", "Asia/Tokyo")),
        (pa.string(), pa.dictionary(pa.int8(), pa.string())),
        (pa.string(), pa.null()),
        (POINT, pa.null()),
        (POINT, pa.struct([])),
        (POINT, pa.struct([("tags", pa.list_(pa.null()))])),
        (pa.list_(pa.float64()), pa.list_(pa.int16(), 2)),
        (pa.map_(pa.string(), pa.float64()), pa.map_(pa.string(), pa.int8())),
    ],
    ids=str,
)
def test_a_narrower_kind_fits_and_changes_nothing(
    existing: pa.DataType, incoming: pa.DataType, evolution: Evolution
) -> None:
    assert evolve(schema(v=existing), schema(v=incoming), evolution).equals(schema(v=existing))


@pytest.mark.parametrize("evolution", list(Evolution))
@pytest.mark.parametrize(
    ("existing", "incoming", "path", "types"),
    [
        (pa.int64(), pa.string(), "v", ("int64", "string")),
        (pa.int64(), pa.float32(), "v", ("int64", "float")),
        (pa.int64(), pa.uint64(), "v", ("int64", "uint64")),
        (pa.string(), pa.int8(), "v", ("string", "int8")),
        (pa.bool_(), pa.int8(), "v", ("bool", "int8")),
        (pa.string(), pa.binary(), "v", ("string", "binary")),
        (pa.float64(), pa.decimal128(5, 1), "v", ("double", "decimal128(5, 1)")),
        (pa.decimal128(38, 2), pa.decimal128(38, 3), "v", ("decimal128(38, 2)", "decimal128(38, 3)")),
        (pa.date32(), TIMESTAMP, "v", ("date32[day]", "timestamp[us]")),
        (TIMESTAMP_UTC, TIMESTAMP, "v", ("timestamp[us, tz=UTC]", "timestamp[us]")),
        (TIMESTAMP, TIMESTAMP_UTC, "v", ("timestamp[us]", "timestamp[us, tz=UTC]")),
        (pa.int64(), pa.list_(pa.int64()), "v", ("int64", "list<item: int64>")),
        (pa.list_(pa.int64()), pa.int64(), "v", ("list<item: int64>", "int64")),
        (pa.list_(pa.int64()), pa.list_(pa.string()), "v[]", ("int64", "string")),
        (POINT, pa.struct([("x", pa.string())]), "v.x", ("int64", "string")),
        (POINT, pa.struct([("z", pa.int8())]), "v.z", ("no such field", "int8")),
        (POINT, pa.struct([("X", pa.int8())]), "v.X", ("no such field", "int8")),
        (pa.map_(pa.string(), pa.int64()), pa.map_(pa.int8(), pa.int64()), "v{key}", ("string", "int8")),
        (pa.map_(pa.string(), pa.int64()), pa.map_(pa.string(), pa.bool_()), "v{value}", ("int64", "bool")),
    ],
    ids=str,
)
def test_a_breaking_change_is_refused_with_the_column_and_both_types(
    existing: pa.DataType, incoming: pa.DataType, path: str, types: tuple[str, str], evolution: Evolution
) -> None:
    with pytest.raises(SchemaConflict) as caught:
        evolve(schema(v=existing), schema(v=incoming), evolution)
    conflict = caught.value
    assert (conflict.column, conflict.existing, conflict.incoming) == (path, *types)
    assert all(part in str(conflict) for part in (repr(path), *types))
    assert conflict.hint


@pytest.mark.parametrize("evolution", list(Evolution))
def test_another_spelling_of_a_column_is_refused_with_the_known_one(evolution: Evolution) -> None:
    with pytest.raises(SchemaConflict, match="'temp'") as caught:
        evolve(schema(Temp=pa.int64()), schema(temp=pa.int64()), evolution)
    assert "'Temp'" in caught.value.hint


@pytest.mark.parametrize("name", ["__timestore_x", "partition_date", ""])
def test_a_new_column_may_not_have_a_reserved_name(name: str) -> None:
    with pytest.raises(InvalidData, match="column"):
        evolve(schema(a=pa.int64()), pa.schema([(name, pa.int64())]), ADDITIVE)


def test_a_new_column_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidData, match=r"'v\[\]'.*null"):
        evolve(schema(a=pa.int64()), schema(v=pa.list_(pa.null())), ADDITIVE)


def test_a_dataset_keeps_its_schema_however_often_the_same_data_comes() -> None:
    raw = schema(a=pa.int8(), b=pa.timestamp("ns", "UTC"), c=pa.list_(pa.float32()))
    first = evolve(None, raw, ADDITIVE)
    assert evolve(first, raw, ADDITIVE) is first
    assert evolve(first, first, STRICT) is first
