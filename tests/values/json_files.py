"""NDJSON and JSON arrays: values of one shape to a column, written by hand so that every digit is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.values.arrow_kinds import TEXTS
from tests.values.cells import ALMOST_DATES, ALMOST_NUMBERS, DAYS, FINE, INSTANTS, LOCAL
from tests.values.kinds import Batch, reused
from tests.values.plain import STRICT, Policy
from tests.values.readers import ROW
from tests.values.sources import NAMES, File, can_be_columns
from tests.values.text import Number, Text

_SMALL = st.integers(-(2**53), 2**53).map(str)
_LARGE = st.one_of(
    st.sampled_from([2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**53 + 1]), st.integers(-(10**37), 10**37)
).map(str)
_TOO_LARGE = st.integers(10**38, 10**42).map(str)
_FRACTIONS = st.one_of(
    st.floats(-(10**6), 10**6).map(repr), st.sampled_from(["0.1", "1.50", "1e5", "-0.0", "1E-7", "5e-324"])
)
_LONG = st.one_of(
    st.integers(10**17, 10**25).map(lambda n: f"0.{n}"), st.sampled_from(["1e400", "9007199254740993.5", "1e-400"])
)
_STRINGS = st.one_of(TEXTS, DAYS, INSTANTS, FINE, LOCAL, ALMOST_DATES, ALMOST_NUMBERS)


class Shape(NamedTuple):
    """What the values of a column look like. A drawn value is its text and what must come back."""

    told: str
    values: st.SearchStrategy[tuple[str, Any]]
    taken: bool = True

    def __repr__(self) -> str:
        return self.told


def _text(value: str) -> tuple[str, Any]:
    return json.dumps(value), Text(value)


def _leaves() -> list[Shape]:
    numbers = [
        ("int", _SMALL, True),
        ("large int", _LARGE, False),
        ("39 digits", _TOO_LARGE, False),
        ("fraction", _FRACTIONS, True),
        ("long", _LONG, False),
        ("any", st.one_of(_SMALL, _FRACTIONS, _LARGE), False),
    ]
    found = [Shape(told, values.map(lambda text: (text, Number(text))), taken) for told, values, taken in numbers]
    found.append(Shape("bool", st.booleans().map(lambda v: (json.dumps(v), v))))
    found.append(Shape("text", TEXTS.map(_text), taken=False))
    found.append(Shape("word", st.text(st.sampled_from("abc -:"), max_size=6).map(_text)))
    found.append(Shape("odd text", _STRINGS.map(_text), taken=False))
    found.append(Shape("instant", INSTANTS.map(_text)))
    mixed = [("1", Number("1")), ('"x"', Text("x")), ("true", True), ("[]", [])]
    found.append(Shape("mixed", st.sampled_from(mixed), taken=False))
    return found


def _list(inner: Shape) -> Shape:
    values = st.lists(_nullable(inner), max_size=3).map(
        lambda items: (f"[{', '.join(t for t, _ in items)}]", [e for _, e in items])
    )
    return Shape(f"[{inner.told}]", values, inner.taken)


def _object(fields: dict[str, Shape]) -> Shape:
    values = st.fixed_dictionaries({}, optional={name: _nullable(shape) for name, shape in fields.items()}).map(
        _written
    )
    told = ", ".join(f"{name}: {shape.told}" for name, shape in fields.items())
    return Shape(f"{{{told}}}", values, all(shape.taken for shape in fields.values()))


def _written(items: dict[str, tuple[str, Any]]) -> tuple[str, Any]:
    inside = ", ".join(f"{json.dumps(name)}: {text}" for name, (text, _) in items.items())
    return f"{{{inside}}}", {name: expected for name, (_, expected) in items.items()}


@reused
def _nullable(shape: Shape) -> st.SearchStrategy[tuple[str, Any]]:
    return st.one_of(shape.values, shape.values, st.just(("null", None)))


def _nested(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    fields = st.dictionaries(st.sampled_from(["a", "b c", "é"]), inner, min_size=1, max_size=3)
    return st.one_of(inner.map(_list), fields.map(_object))


_FLAT = st.sampled_from(_leaves())
SHAPES = st.one_of(_FLAT, _FLAT, st.recursive(_FLAT, _nested, max_leaves=4))


@reused
@st.composite
def _objects(
    draw: st.DrawFn, first: int, names: st.SearchStrategy[str]
) -> tuple[list[str], list[dict[str, Any]], bool]:
    """Lines, what must come back for each, and whether they must be taken."""
    rows = draw(st.integers(1, 4))
    shapes = draw(st.dictionaries(names, SHAPES, min_size=1, max_size=3))
    lines, expected = [], []
    has_time = draw(st.integers(0, 9)) > 0 and "at" not in map(str.casefold, shapes)
    for number in range(first, first + rows):
        items: dict[str, tuple[str, Any]] = {ROW: (str(number), number)}
        items |= {name: draw(_nullable(shape)) for name, shape in shapes.items() if draw(st.integers(0, 5))}
        if has_time:
            items["at"] = _text(f"2026-01-{draw(st.integers(1, 31)):02}T00:00:00Z")
        text, values = _written(items)
        lines.append(text)
        expected.append(values | {ROW: number})
    taken = all(shape.taken for shape in shapes.values()) and can_be_columns(list(shapes))
    return lines, expected, taken


def _ndjson(lines: list[str]) -> File:
    return File(("\n".join(lines) + "\n").encode(), ".ndjson")


def _array(lines: list[str]) -> File:
    return File(f"[{', '.join(lines)}]".encode(), ".json")


@reused
@st.composite
def json_lines(
    draw: st.DrawFn,
    first: int,
    names: st.SearchStrategy[str] = NAMES,
    policy: Policy = STRICT,
    *,
    known: bool = False,
) -> Batch:
    """One form or the other."""
    lines, expected, taken = draw(_objects(first, names))
    form: Callable[[list[str]], File] = draw(st.sampled_from([_ndjson, _array]))
    file = form(lines)
    return Batch(file, _read_under(expected, policy, known), taken, f"json {file.content!r}")


def _read_under(value: Any, policy: Policy, known: bool) -> Any:
    if isinstance(value, Text):
        return Text(value.text, policy, known)
    if isinstance(value, list):
        return [_read_under(item, policy, known) for item in value]
    if isinstance(value, dict):
        return {name: _read_under(item, policy, known) for name, item in value.items()}
    return value


_DAMAGED = [
    '{"row": 1, "v": 1',
    '{"row": 1, "v": 1, "v": 2}',
    '{"row": 1, "o": {"a": 1, "a": 2}}',
    '{"row": 1, "v": NaN}',
    '{"row": 1, "v": 01}',
    '{"row": 1} {"row": 2',
    "[1]",
]


@reused
@st.composite
def broken_json(draw: st.DrawFn, first: int) -> Batch:
    """Text that is no JSON, or says one thing twice."""
    damaged = draw(st.sampled_from(_DAMAGED))
    form: Callable[[list[str]], File] = draw(st.sampled_from([_ndjson, _array]))
    file = form([f'{{"row": {first}, "v": 0}}', damaged])
    return Batch(file, [{ROW: first}], False, f"json {file.content!r}", malformed=True)
