"""What the columns of a DuckDB relation hold. A value is its SQL literal and what must come back for it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple

import duckdb
from hypothesis import strategies as st

from tests.values.arrow_kinds import BYTES, FLOATS, TEXTS, decimals, integers
from tests.values.kinds import Kind, of_date, of_datetime, of_time, reused
from tests.values.plain import Instant, Lost, Pairs


class Literal(NamedTuple):
    """A value of one type."""

    sql: str
    plain: Any


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def relation(
    connection: duckdb.DuckDBPyConnection, columns: dict[str, tuple[str, list[Any]]]
) -> duckdb.DuckDBPyRelation:
    """columns: name -> SQL type and values; None = null."""
    count = len(next(iter(columns.values()))[1])
    rows = []
    for number in range(count):
        cells = [f"{_cell(values[number], type_)} AS {name(column)}" for column, (type_, values) in columns.items()]
        rows.append(f"SELECT {', '.join(cells)}")
    return connection.sql(" UNION ALL ".join(rows))


def _cell(value: Literal | None, type_: str) -> str:
    return f"CAST({'NULL' if value is None else value.sql} AS {type_})"


def _leaf(type_: str, values: st.SearchStrategy[Any], taken: bool = True) -> Kind:
    return Kind(type_, values, type_, lambda literal: literal.plain, taken)


def _number(value: Any) -> Literal:
    return Literal(quoted(str(value)), value)


def _blob(value: bytes) -> Literal:
    return Literal(quoted("".join(f"\\x{byte:02X}" for byte in value)), value)


def _text(value: str) -> Literal:
    return Literal(quoted(value), value)


def _lost(type_: str, sql: str, why: str) -> Kind:
    return _leaf(type_, st.just(Literal(sql, Lost(why))), taken=False)


def _spelled(plain: Any) -> Any:
    return lambda value: Literal(quoted(str(value)), plain(value))


_DATES = st.dates(date(1, 1, 1), date(9999, 12, 31))
_STAMPS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
_SECONDS = _STAMPS.map(lambda value: value.replace(microsecond=0))
_AFTER_1970 = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1))
_NO_NUL = TEXTS.filter(lambda text: "\0" not in text)

LEAVES = [
    _leaf("BOOLEAN", st.booleans().map(lambda v: Literal(str(v), v))),
    *(_leaf(type_, integers(bits).map(_number)) for type_, bits in (("TINYINT", 8), ("INTEGER", 32), ("BIGINT", 64))),
    *(_leaf(type_, integers(bits, signed=False).map(_number)) for type_, bits in (("UTINYINT", 8), ("UBIGINT", 64))),
    _leaf("HUGEINT", st.integers(-(10**38) + 1, 10**38 - 1).map(_number)),
    _leaf("DOUBLE", FLOATS.map(_number)),
    _leaf("FLOAT", st.floats(width=32).map(_number)),
    _leaf("DECIMAL(20,4)", decimals(20, 4).map(_number)),
    _leaf("DECIMAL(38,0)", decimals(38, 0).map(_number)),
    _leaf("VARCHAR", _NO_NUL.map(_text)),
    _leaf("BLOB", BYTES.map(_blob)),
    _leaf("UUID", st.uuids().map(_spelled(str))),
    _leaf("DATE", _DATES.map(lambda v: Literal(quoted(v.isoformat()), of_date(v)))),
    _leaf("TIME", st.times().map(_spelled(of_time))),
    _leaf("TIMESTAMP", _STAMPS.map(lambda v: Literal(quoted(v.isoformat()), of_datetime(v)))),
    _leaf("TIMESTAMP_S", _SECONDS.map(lambda v: Literal(quoted(v.isoformat()), of_datetime(v)))),
    _leaf("TIMESTAMP_NS", _AFTER_1970.map(lambda v: Literal(quoted(v.isoformat()), of_datetime(v)))),
    _leaf("TIMESTAMPTZ", _STAMPS.map(lambda v: Literal(quoted(v.isoformat() + "+00"), Instant(of_datetime(v).ns)))),
    _leaf("ENUM ('a', '007', '', 'é')", st.sampled_from(["a", "007", "", "é"]).map(_text)),
]
ODD = [
    _leaf("UHUGEINT", st.integers(0, 10**38 - 1).map(_number), taken=False),
    _lost("HUGEINT", "170141183460469231731687303715884105727", "39 digits"),
    _lost("INTERVAL", "INTERVAL '1 month 2 days'", "an interval"),
    _lost("BIT", "'0101'", "bits"),
    _lost("TIMETZ", "'01:02:03+02'", "a time of day with a zone"),
    _lost("UNION(a INTEGER, b VARCHAR)", "union_value(a := 1)", "a union"),
    _leaf("JSON", st.sampled_from(['{"a": 1}', "7", "[1]"]).map(_text), taken=False),
    _leaf("BIGNUM", st.integers(-(10**45), 10**45).map(_number), taken=False),
    _leaf("INTEGER", st.none()),
    _lost("TIMESTAMPTZ", "'infinity'", "no instant"),
    _lost("TIMESTAMPTZ", "'10000-01-01 00:00:00+00'", "beyond the year 9999"),
]


def _list(inner: Kind, size: int | None = None) -> Kind:
    low, high = (0, 3) if size is None else (size, size)
    values = st.lists(st.one_of(inner.values, st.none()), min_size=low, max_size=high)
    type_ = f"{inner.type}[{'' if size is None else size}]"

    def literal(items: list[Literal | None]) -> Literal:
        inside = ", ".join(_cell(item, inner.type) for item in items)
        return Literal(f"[{inside}]", [None if item is None else item.plain for item in items])

    return _leaf(type_, values.map(literal), inner.taken)


def _struct(fields: dict[str, Kind]) -> Kind:
    values = st.fixed_dictionaries({key: st.one_of(kind.values, st.none()) for key, kind in fields.items()})
    type_ = f"STRUCT({', '.join(f'{name(key)} {kind.type}' for key, kind in fields.items())})"

    def literal(items: dict[str, Literal | None]) -> Literal:
        inside = ", ".join(f"{name(key)}: {_cell(item, fields[key].type)}" for key, item in items.items())
        return Literal(f"{{{inside}}}", {key: None if item is None else item.plain for key, item in items.items()})

    return _leaf(type_, values.map(literal), all(kind.taken for kind in fields.values()))


def _map(key: Kind, item: Kind) -> Kind:
    entries = st.tuples(key.values, st.one_of(item.values, st.none()))
    values = st.lists(entries, max_size=3, unique_by=lambda entry: repr(entry[0].plain))

    def literal(items: list[tuple[Literal, Literal | None]]) -> Literal:
        keys = ", ".join(_cell(k, key.type) for k, _ in items)
        held = ", ".join(_cell(v, item.type) for _, v in items)
        plain = Pairs(tuple((k.plain, None if v is None else v.plain) for k, v in items))
        return Literal(f"MAP([{keys}], [{held}])", plain)

    return _leaf(f"MAP({key.type}, {item.type})", values.map(literal), key.taken and item.taken)


def _nested(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    fields = st.dictionaries(st.sampled_from(["a", "b c", "é", "select"]), inner, min_size=1, max_size=3)
    keys = st.sampled_from([kind for kind in LEAVES if kind.type not in ("DOUBLE", "FLOAT")])
    return st.one_of(
        inner.map(_list), inner.map(lambda kind: _list(kind, 2)), fields.map(_struct), st.builds(_map, keys, inner)
    )


@reused
def kinds() -> st.SearchStrategy[Kind]:
    flat = st.one_of(st.sampled_from(LEAVES), st.sampled_from([*LEAVES, *ODD]))
    return st.one_of(flat, flat, st.recursive(flat, _nested, max_leaves=3))
