"""Data that an existing dataset accepts, and refusals that name the column and both types."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pyarrow as pa
import pytest

from timestore_pipeline.errors import InvalidData, SchemaConflict
from timestore_pipeline.model.canonical import TIMESTAMP, TIMESTAMP_UTC
from timestore_pipeline.model.dataset import Evolution
from timestore_pipeline.model.declared import parse_type, type_text
from timestore_pipeline.model.evolution import Rules, evolve
from timestore_pipeline.model.widening import declare

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


@pytest.mark.parametrize("incoming", [pa.string(), pa.int64()])
def test_text_for_an_instant_is_not_asked_for_its_time_zone(incoming: pa.DataType) -> None:
    with pytest.raises(SchemaConflict) as caught:
        evolve(schema(at=TIMESTAMP_UTC), schema(at=incoming), ADDITIVE)
    assert "typed as timestamps" in caught.value.hint


@pytest.mark.parametrize(
    ("declared", "incoming", "wanted"),
    [("int64", pa.float64(), "double"), ("decimal(10,2)", pa.decimal128(5, 3), "decimal(38,3)"),
     ("list<int64>", pa.list_(pa.float64()), "list<double>")],
)  # fmt: skip
def test_a_declared_column_does_not_widen_before_it_is_published(
    declared: str, incoming: pa.DataType, wanted: str
) -> None:
    rules = Rules(declared={"v": parse_type(declared)}, widens=True, dataset="d")
    for existing in (None, schema(v=parse_type(declared).type)):
        with pytest.raises(SchemaConflict) as caught:
            evolve(existing, schema(v=incoming), rules)
        assert caught.value.hint == f"`{declare('d', 'v', wanted)}` declares a type for both"


def test_local_times_for_a_column_of_instants_name_the_setting() -> None:
    with pytest.raises(SchemaConflict) as caught:
        evolve(schema(v=TIMESTAMP_UTC), schema(v=pa.timestamp("us")), ADDITIVE)
    assert "schema.localTimestamps" in caught.value.hint


@pytest.mark.parametrize("evolution", list(Evolution))
def test_another_spelling_of_a_column_is_refused_with_the_known_one(evolution: Evolution) -> None:
    with pytest.raises(SchemaConflict, match="'temp'") as caught:
        evolve(schema(Temp=pa.int64()), schema(temp=pa.int64()), evolution)
    assert "'Temp'" in caught.value.hint


@pytest.mark.parametrize("name", ["__timestore_x", "partition_date", ""])
def test_a_new_column_may_not_have_a_reserved_name(name: str) -> None:
    with pytest.raises(InvalidData, match="column"):
        evolve(schema(a=pa.int64()), pa.schema([(name, pa.int64())]), ADDITIVE)


def nested(inner: pa.DataType) -> pa.DataType:
    """A type at the bottom of everything that nests."""
    return pa.struct([("l", pa.list_(pa.map_(pa.string(), inner)))])


@pytest.mark.parametrize("inside", [lambda type_: type_, nested], ids=["column", "deep"])
def test_objects_grow_by_the_fields_that_come(inside: Callable[[pa.DataType], pa.DataType]) -> None:
    one, other = pa.struct([("a", pa.int64())]), pa.struct([("b", pa.string())])
    grown = pa.struct([("a", pa.int64()), ("b", pa.string())])
    assert evolve(schema(v=inside(one)), schema(v=inside(other)), Rules(widens=True)) == schema(v=inside(grown))
    with pytest.raises(SchemaConflict, match=r"b'.*no such field") as refused:
        evolve(schema(v=inside(one)), schema(v=inside(other)), STRICT)
    assert "additive" in refused.value.hint


def test_published_objects_grow_unless_they_are_in_a_map() -> None:
    one, both = pa.struct([("a", pa.int64())]), pa.struct([("a", pa.int64()), ("b", pa.string())])
    assert evolve(schema(v=pa.list_(one)), schema(v=pa.list_(both)), ADDITIVE) == schema(v=pa.list_(both))
    with pytest.raises(SchemaConflict, match=r"'v\{value\}\.b'.*no such field") as refused:
        evolve(schema(v=pa.map_(pa.string(), one)), schema(v=pa.map_(pa.string(), both)), ADDITIVE)
    assert "in a column of its own" in refused.value.hint


@pytest.mark.parametrize("inside", [lambda type_: type_, nested], ids=["column", "deep"])
@pytest.mark.parametrize("late", [pa.int64(), pa.struct([("x", pa.bool_())]), pa.list_(pa.null())], ids=str)
def test_a_type_that_waits_takes_the_first_that_comes(
    inside: Callable[[pa.DataType], pa.DataType], late: pa.DataType
) -> None:
    waiting = schema(v=inside(pa.list_(pa.null())))
    assert evolve(waiting, waiting, STRICT) is waiting
    assert evolve(waiting, schema(v=inside(pa.list_(late))), STRICT) == schema(v=inside(pa.list_(late)))
    assert evolve(schema(v=inside(pa.list_(late))), waiting, STRICT) == schema(v=inside(pa.list_(late)))


WIDER = [
    (pa.int64(), pa.float32(), pa.float64()),
    (pa.int64(), pa.decimal128(5, 2), pa.decimal128(38, 2)),
    (pa.decimal128(38, 2), pa.decimal128(9, 4), pa.decimal128(38, 4)),
    (pa.date32(), TIMESTAMP, TIMESTAMP),
    (pa.date32(), TIMESTAMP_UTC, TIMESTAMP_UTC),
]


@pytest.mark.parametrize(("existing", "incoming", "wide"), WIDER, ids=str)
@pytest.mark.parametrize("inside", [lambda type_: type_, nested], ids=["column", "deep"])
def test_a_column_widens_while_nothing_is_published_and_not_later(
    inside: Callable[[pa.DataType], pa.DataType], existing: pa.DataType, incoming: pa.DataType, wide: pa.DataType
) -> None:
    before, sent, after = (schema(v=inside(type_)) for type_ in (existing, incoming, wide))
    assert evolve(before, sent, Rules(widens=True, dataset="d")) == after
    with pytest.raises(SchemaConflict) as refused:
        evolve(before, sent, Rules(dataset="d"))
    assert f"timestore datasets retype d v {shlex.quote(type_text(inside(wide)))}" in refused.value.hint


def test_text_takes_numbers_only_where_it_is_declared() -> None:
    text = {"v": parse_type("string")}
    for incoming in (pa.int8(), pa.bool_(), pa.decimal128(5, 2), pa.uint64()):
        assert evolve(schema(v=pa.string()), schema(v=incoming), Rules(declared=text)) == schema(v=pa.string())
        assert evolve(None, schema(v=incoming), Rules(declared=text)) == schema(v=pa.string())
        with pytest.raises(SchemaConflict) as refused:
            evolve(schema(v=pa.string()), schema(v=incoming), Rules(dataset="d"))
        assert """timestore datasets set d '{"schema": {"columns": {"v": "string"}}}'""" in refused.value.hint
    with pytest.raises(SchemaConflict):
        evolve(schema(v=pa.string()), schema(v=pa.float64()), Rules(declared=text))


def test_a_declared_column_has_its_type_whatever_comes_first() -> None:
    declared = {"v": parse_type("double"), "w": parse_type("timestamp"), "not_sent": parse_type("int64")}
    assert evolve(None, schema(v=pa.int8(), w=pa.date32(), x=pa.int8()), Rules(declared=declared)) == schema(
        v=pa.float64(), w=TIMESTAMP_UTC, x=pa.int64()
    )
    with pytest.raises(SchemaConflict, match="'v' is double"):
        evolve(None, schema(v=pa.string()), Rules(declared=declared))


def test_a_dataset_keeps_its_schema_however_often_the_same_data_comes() -> None:
    raw = schema(a=pa.int8(), b=pa.timestamp("ns", "UTC"), c=pa.list_(pa.float32()))
    first = evolve(None, raw, ADDITIVE)
    assert evolve(first, raw, ADDITIVE) is first
    assert evolve(first, first, STRICT) is first
