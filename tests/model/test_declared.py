"""Declared column types: their notation, and the errors about unreadable ones."""

from __future__ import annotations

import pyarrow as pa
import pytest

from timestore_pipeline.model.declared import Meaning, parse_type, type_text

READ = {
    "double": pa.float64(),
    "Integer": pa.int64(),
    "timestamp": pa.timestamp("us", "UTC"),
    "local_timestamp": pa.timestamp("us"),
    "decimal(20,4)": pa.decimal128(38, 4),
    "decimal": pa.decimal128(38, 0),
    "list<string>": pa.list_(pa.string()),
    "map<string, list<double>>": pa.map_(pa.string(), pa.list_(pa.float64())),
    'struct<a: int, "b ""c": struct<d: bool>>': pa.struct(
        [("a", pa.int64()), ('b "c', pa.struct([("d", pa.bool_())]))]
    ),
}
REFUSED = {
    "dobule": "there is no type 'dobule'",
    "list<": "it ends too early",
    "list<string>>": "'>' is left over",
    "list<string": "'>' is missing at its end",
    "decimal(2,5)": "needs 1 to 38 digits",
    "decimal(x,5)": "found 'x' where a number is expected",
    "list<uuid>": "uuid cannot be part of another type",
    "struct<a: int, A: int>": "differ by case only",
    "double;": "';' has no place in it",
    "": "it ends too early",
    "list<" * 40 + "int" + ">" * 40: "deeper than 32 levels",
}


@pytest.mark.parametrize("text", READ)
def test_a_declared_type_is_the_canonical_type_it_names(text: str) -> None:
    assert parse_type(text).type == READ[text]
    assert parse_type(text).meaning is Meaning.PLAIN


@pytest.mark.parametrize("type_", READ.values(), ids=str)
def test_a_type_reads_back_from_its_own_text(type_: pa.DataType) -> None:
    assert parse_type(type_text(type_)).type == type_


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_read_is_named_with_the_types_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="types are bool, int64") as refused:
        parse_type(text)
    assert REFUSED[text] in str(refused.value)


def test_some_types_say_what_the_values_mean() -> None:
    assert parse_type("uuid").meaning is Meaning.UUID
    assert parse_type("epoch_ms").type == pa.timestamp("us", "UTC")
    assert parse_type(" Duration ").type == pa.duration("us")
