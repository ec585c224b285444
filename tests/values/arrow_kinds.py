"""Every type Arrow has, plain and nested, in every layout and behind every encoding."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from tests.values.kinds import Kind, Plain, each, fields_of, moments, pairs, refused, reused
from tests.values.plain import Day, Instant, LocalTime, Span

TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", " ", "007", "2026-01-01", "2026-01-01T00:00:00Z", "NaN", "null", 'a"b', "a\nb", "'", "\\", "é" * 20]
    ),
)
BYTES = st.binary(max_size=20)
FLOATS = st.one_of(
    st.floats(), st.sampled_from([-0.0, 5e-324, float("nan"), float("inf"), 0.1, 2.0**53, 1.0, 1.7976931348623157e308])
)
_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DAY_NS = 86_400_000_000_000
_DAY_MS = 86_400_000


def _leaf(type_: pa.DataType, values: st.SearchStrategy[Any], plain: Plain = lambda value: value, **more: Any) -> Kind:
    return Kind(str(type_), values, type_, plain, make=lambda items: pa.array(items, type_), **more)


def integers(bits: int, signed: bool = True) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.one_of(st.integers(low, high), st.integers(0, 99), st.sampled_from([low, high]))


def decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    """Of so many digits, `scale` of them behind the point; a negative scale ends in zeros."""
    widest = 10 ** min(digits, 38) - 1
    return st.one_of(st.integers(-widest, widest), st.integers(-99, 99)).map(partial(_decimal, scale))


def _decimal(scale: int, unscaled: int) -> Decimal:
    return Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale))


def _numbers() -> list[Kind]:
    found = [_leaf(getattr(pa, f"int{bits}")(), integers(bits)) for bits in (8, 16, 32, 64)]
    found += [_leaf(getattr(pa, f"uint{bits}")(), integers(bits, signed=False)) for bits in (8, 16, 32, 64)]
    halves = st.floats(width=16)
    half = Kind("halffloat", halves, pa.float16(), make=lambda items: pa.array([_half(v) for v in items], pa.float16()))
    found += [half, _leaf(pa.float32(), st.floats(width=32)), _leaf(pa.float64(), FLOATS)]
    scales = [(pa.decimal32, 9, 2), (pa.decimal64, 18, 4), (pa.decimal128, 38, 0), (pa.decimal128, 38, 10)]
    scales += [(pa.decimal128, 5, -2), (pa.decimal256, 38, 2)]
    found += [_leaf(make(digits, scale), decimals(digits, scale)) for make, digits, scale in scales]
    return [*found, _leaf(pa.decimal256(76, 40), decimals(76, 40), taken=False)]


def _half(value: float | None) -> Any:
    return None if value is None else np.float16(value)


def _bytes_and_text() -> list[Kind]:
    texts = (pa.string(), pa.large_string(), pa.string_view())
    blobs = (pa.binary(), pa.large_binary(), pa.binary_view())
    fixed = _leaf(pa.binary(3), st.binary(min_size=3, max_size=3))
    return [_leaf(type_, TEXTS) for type_ in texts] + [_leaf(type_, BYTES) for type_ in blobs] + [fixed]


def _times() -> list[Kind]:
    midnights = moments(_DAY_NS).map(lambda days: days * _DAY_MS)
    days = [_leaf(pa.date32(), moments(_DAY_NS), Day), _leaf(pa.date64(), midnights, lambda ms: Day(ms // _DAY_MS))]
    zones = (None, "UTC", "Europe/Prague", "+05:30")
    stamps = [
        _leaf(pa.timestamp(unit, zone), moments(ns), partial(_stamp, ns, zone))
        for unit, ns in _UNITS.items()
        for zone in zones
    ]
    lengths = [_leaf(pa.duration(unit), _lengths(ns), partial(_span, ns)) for unit, ns in _UNITS.items()]
    times = [_time(pa.time32, "s"), _time(pa.time32, "ms"), _time(pa.time64, "us"), _time(pa.time64, "ns")]
    return [*days, *stamps, *lengths, *times]


def _time(make: Callable[[str], pa.DataType], unit: str) -> Kind:
    ns = _UNITS[unit]
    last = _DAY_NS // ns - 1
    step = max(1_000 // ns, 1)  # to whole microseconds
    whole = st.integers(0, last // step).map(lambda count: count * step)
    return _leaf(make(unit), st.one_of(whole, st.integers(0, last), st.just(last)), partial(_span, ns, of_day=True))


def _span(ns: int, count: int, of_day: bool = False) -> Span:
    return Span(count * ns, of_day)


def _stamp(ns: int, zone: str | None, count: int) -> Instant | LocalTime:
    return LocalTime(count * ns) if zone is None else Instant(count * ns)


def _lengths(ns: int) -> st.SearchStrategy[int]:
    """What fits 64 bits of microseconds, and of the unit."""
    most = min(2**63 - 1, (2**63 - 1) * 1_000 // ns)
    return st.one_of(
        st.integers(-10_000, 10_000).map(lambda count: count * max(1_000 // ns, 1)), st.integers(-most, most)
    )


def _extensions() -> list[Kind]:
    ids = Kind("uuid", st.uuids().map(lambda u: u.bytes), pa.uuid(), lambda raw: str(uuid.UUID(bytes=raw)))
    json_text = Kind("json", st.sampled_from(['{"a": 1}', "[]", "007"]), pa.json_(), taken=False)
    bools = Kind("bool8", st.integers(0, 1), pa.bool8(), bool, taken=False)
    opaque = Kind(
        "opaque", st.binary(max_size=4), pa.opaque(pa.binary(), "thing", "vendor"), refused("opaque"), taken=False
    )
    found = [_stored_as(kind) for kind in (ids, json_text, bools, opaque)]
    months = st.just((1, 2, 3))
    intervals = _leaf(pa.month_day_nano_interval(), months, refused("an interval"), taken=False)
    return [*found, intervals, _union()]


def _stored_as(kind: Kind) -> Kind:
    storage = kind.type.storage_type
    return Kind(kind.name, kind.values, kind.type, kind.plain, kind.taken,
                make=lambda items: pa.ExtensionArray.from_storage(kind.type, pa.array(items, storage)))  # fmt: skip


def _union() -> Kind:
    def make(items: list[Any]) -> pa.Array:
        tags = pa.array([0] * len(items), pa.int8())
        return pa.UnionArray.from_sparse(tags, [pa.array(items, pa.int64()), pa.array([""] * len(items))])

    return Kind("union", st.integers(0, 9), None, refused("a union"), make=make, taken=False)


BOOL = _leaf(pa.bool_(), st.booleans())
NULL = _leaf(pa.null(), st.none())
LEAVES = [BOOL, *_numbers(), *_bytes_and_text(), *_times()]
ODD = [NULL, *_extensions()]


def lists(inner: Kind, layout: str) -> Kind:
    """layout: list, large_list, list_view, large_list_view."""
    views = layout.endswith("_view")
    make_array = {"list": pa.ListArray, "large_list": pa.LargeListArray, "list_view": pa.ListViewArray,
                  "large_list_view": pa.LargeListViewArray}[layout]  # fmt: skip
    width = pa.int64() if layout.startswith("large") else pa.int32()

    def make(items: list[Any]) -> pa.Array:
        lengths = [len(item or []) for item in items]
        ends = list(accumulate(lengths))
        values = made(inner, [value for item in items for value in item or []])
        missing = _missing(items)
        starts = [end - length for end, length in zip(ends, lengths, strict=True)]
        if views:
            return make_array.from_arrays(pa.array(starts, width), pa.array(lengths, width), values, mask=missing)
        return make_array.from_arrays(pa.array([0, *ends], width), values, mask=missing)

    values = st.lists(inner.or_null, max_size=3)
    return Kind(f"{layout}<{inner.name}>", values, None, each(inner), inner.taken, make)


def fixed_lists(inner: Kind) -> Kind:
    def make(items: list[Any]) -> pa.Array:
        values = made(inner, [value for item in items for value in item or [None, None]])
        return pa.FixedSizeListArray.from_arrays(values, 2, mask=_missing(items))

    values = st.lists(inner.or_null, min_size=2, max_size=2)
    return Kind(f"fixed<{inner.name}>", values, None, each(inner), inner.taken, make)


def structs(fields: dict[str, Kind]) -> Kind:
    def make(items: list[Any]) -> pa.Array:
        columns = [made(kind, [(item or {}).get(name) for item in items]) for name, kind in fields.items()]
        return pa.StructArray.from_arrays(columns, list(fields), mask=_missing(items))

    values = st.fixed_dictionaries({name: kind.or_null for name, kind in fields.items()})
    name = f"struct<{', '.join(f'{name}: {kind.name}' for name, kind in fields.items())}>"
    plain = fields_of(fields)
    return Kind(name, values, None, plain, all(kind.taken for kind in fields.values()), make)


def maps(key: Kind, item: Kind) -> Kind:
    def make(rows: list[Any]) -> pa.Array:
        entries = [entry for row in rows for entry in row or []]
        ends = [0, *accumulate(len(row or []) for row in rows)]
        keys, items = made(key, [k for k, _ in entries]), made(item, [v for _, v in entries])
        return pa.MapArray.from_arrays(pa.array(ends, pa.int32()), keys, items, mask=_missing(rows))

    values = st.lists(st.tuples(key.values, item.or_null), max_size=3, unique_by=lambda entry: repr(entry[0]))
    return Kind(f"map<{key.name}, {item.name}>", values, None, pairs(key, item), key.taken and item.taken, make)


def dictionary(inner: Kind) -> Kind:
    def make(items: list[Any]) -> pa.Array:
        there = [item for item in items if item is not None]
        places = iter(range(len(there)))
        indices = [None if item is None else next(places) for item in items]
        return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int16()), made(inner, there))

    taken = inner.taken and inner.name != "halffloat"  # of which Arrow can take no dictionary apart inside a list
    return Kind(f"dictionary<{inner.name}>", inner.values, None, inner.plain, taken, make)


def run_ends(inner: Kind) -> Kind:
    def make(items: list[Any]) -> pa.Array:
        return pa.RunEndEncodedArray.from_arrays(pa.array(range(1, len(items) + 1), pa.int32()), made(inner, items))

    return Kind(f"run_ends<{inner.name}>", inner.values, None, inner.plain, inner.taken, make)


def _missing(items: list[Any]) -> pa.Array:
    return pa.array([item is None for item in items], pa.bool_())


def made(kind: Kind, items: list[Any]) -> pa.Array:
    assert kind.make is not None
    return kind.make(items)


def sliced(array: pa.Array, before: pa.Array) -> pa.Array:
    """The same values, lying behind others in memory."""
    return pa.concat_arrays([before, array]).slice(len(before))


_Nest = Callable[[st.SearchStrategy[Kind]], st.SearchStrategy[Kind]]


def _nested(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    layouts = st.sampled_from(["list", "large_list", "list_view", "large_list_view"])
    names = st.sampled_from(["a", "B", "a b", "é", "select", "x.y", 'q"'])
    fields = st.dictionaries(names, inner, min_size=1, max_size=3)
    keys = st.sampled_from([kind for kind in LEAVES if kind.taken])
    return st.one_of(
        st.builds(lists, inner, layouts), inner.map(fixed_lists), fields.map(structs), st.builds(maps, keys, inner)
    )


@reused
def kinds(leaves: Sequence[Kind] = (*LEAVES, *ODD)) -> st.SearchStrategy[Kind]:
    """Leaves, what encodes them, and up to three levels of nesting."""
    plain = st.sampled_from(list(leaves))
    encodable = st.sampled_from([kind for kind in LEAVES if kind is not NULL])
    encoded = st.one_of(encodable.map(dictionary), encodable.map(run_ends))
    flat = st.one_of(plain, plain, encoded)
    return st.one_of(flat, flat, _nested(flat), st.recursive(flat, _nested, max_leaves=3))
