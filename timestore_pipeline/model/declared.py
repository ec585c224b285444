"""The types a column can be declared to have: how they are written, and how the column is published.

    double   decimal(20,4)   list<string>   struct<name: string, marks: list<double>>   map<string, double>   epoch_ms

A declared type has two parts: the canonical type in which the column is published, and the meaning of its values in the
data where the type does not show it: text that is a UUID, a number that counts milliseconds since 1970.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.model.canonical import DEEPEST, DURATION, TIME, TIMESTAMP, TIMESTAMP_UTC, check_field_names

_WIDEST_DECIMAL = 38
_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|\d+|[<>(),:]|\"(?:[^\"]|\"\")*\")")


class Meaning(StrEnum):
    """The meaning of a column's values, where its published type does not show it."""

    PLAIN = "plain"  # none beyond the published type
    UUID = "uuid"  # published as text: lower case, with hyphens
    TIME = "time"  # time of day, published as microseconds since midnight
    DURATION = "duration"  # published as microseconds
    EPOCH_S = "epoch_s"  # numbers in the data, counted since 1970-01-01T00:00:00Z; published as an instant
    EPOCH_MS = "epoch_ms"
    EPOCH_US = "epoch_us"
    EPOCH_NS = "epoch_ns"


EPOCHS = frozenset({Meaning.EPOCH_S, Meaning.EPOCH_MS, Meaning.EPOCH_US, Meaning.EPOCH_NS})


@dataclass(frozen=True, slots=True)
class DeclaredType:
    """The published type of a column, and the meaning of its values."""

    type: pa.DataType  # canonical
    meaning: Meaning = Meaning.PLAIN

    @property
    def tells_time(self) -> bool:
        return tells_time(self.type)


def tells_time(type_: pa.DataType) -> bool:
    """Whether a column of the canonical type can be a dataset's time column."""
    return bool(pa.types.is_timestamp(type_) or pa.types.is_date32(type_))


_LEAVES = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": TIMESTAMP_UTC,
    "local_timestamp": TIMESTAMP,
    "time": TIME,
    "duration": DURATION,
}
_OTHER_SPELLINGS = {
    "boolean": "bool", "int": "int64", "integer": "int64", "long": "int64", "bigint": "int64",
    "float": "double", "float64": "double", "text": "string", "str": "string", "varchar": "string", "blob": "binary",
    "bytes": "binary", "timestamptz": "timestamp", "timestamp_utc": "timestamp", "timestamp_ntz": "local_timestamp",
}  # fmt: skip
_MEANINGS = {
    "uuid": DeclaredType(pa.string(), Meaning.UUID),
    "time": DeclaredType(TIME, Meaning.TIME),
    "duration": DeclaredType(DURATION, Meaning.DURATION),
    "epoch_s": DeclaredType(TIMESTAMP_UTC, Meaning.EPOCH_S),
    "epoch_ms": DeclaredType(TIMESTAMP_UTC, Meaning.EPOCH_MS),
    "epoch_us": DeclaredType(TIMESTAMP_UTC, Meaning.EPOCH_US),
    "epoch_ns": DeclaredType(TIMESTAMP_UTC, Meaning.EPOCH_NS),
}
DECLARABLE = (
    *_LEAVES,
    *(name for name in _MEANINGS if name not in _LEAVES),
    "decimal(p,s)",
    "list<…>",
    "map<…, …>",
    "struct<name: …>",
)


def parse_type(text: str) -> DeclaredType:
    """Read a declared type; `ValueError` names the problem and the available types.

    Types with a meaning (`uuid`, `epoch_…`) cannot be used inside others.
    """
    word = text.strip().lower()
    if word in _MEANINGS:
        return _MEANINGS[word]
    try:
        parser = _Parser(text)
        type_ = parser.type()
        parser.end()
    except _Unreadable as error:
        raise ValueError(f"{text[:200]!r} is not a column type: {error}; types are {', '.join(DECLARABLE)}") from None
    return DeclaredType(type_)


def type_text(type_: pa.DataType) -> str:
    """A canonical type as it would be declared."""
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    if pa.types.is_list(type_):
        return f"list<{type_text(type_.value_type)}>"
    if pa.types.is_map(type_):
        return f"map<{type_text(type_.key_type)}, {type_text(type_.item_type)}>"
    if pa.types.is_struct(type_):
        return f"struct<{', '.join(f'{_field_name(field.name)}: {type_text(field.type)}' for field in type_)}>"
    return next((name for name, leaf in _LEAVES.items() if leaf == type_), str(type_))


def _field_name(name: str) -> str:
    quoted = name.replace('"', '""')
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f'"{quoted}"'


class _Unreadable(Exception):
    """The text is not a type; the message says why."""


class _Parser:
    """Recursive descent over the tokens of one type."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0

    def type(self, level: int = 1) -> pa.DataType:
        if level > DEEPEST:
            raise _Unreadable(f"it is nested deeper than {DEEPEST} levels")
        word = self._take().lower()
        if word == "decimal":
            return self._decimal()
        if word == "list":
            self._expect("<")
            return self._closed(pa.list_(self.type(level + 1)))
        if word == "map":
            self._expect("<")
            key = self.type(level + 1)
            self._expect(",")
            return self._closed(pa.map_(key, self.type(level + 1)))
        if word == "struct":
            return self._struct(level)
        name = _OTHER_SPELLINGS.get(word, word)
        if name in _MEANINGS and name not in _LEAVES:
            raise _Unreadable(f"{word} cannot be part of another type")
        if name not in _LEAVES:
            raise _Unreadable(f"there is no type {word!r}" if word else "it ends too early")
        return _LEAVES[name]

    def end(self) -> None:
        if self._peek():
            raise _Unreadable(f"{self._peek()!r} is left over")

    def _decimal(self) -> pa.DataType:
        if self._peek() != "(":
            return pa.decimal128(_WIDEST_DECIMAL, 0)
        self._expect("(")
        digits = self._number()
        self._expect(",")
        scale = self._number()
        self._expect(")")
        if not 0 <= scale <= digits <= _WIDEST_DECIMAL or digits == 0:
            wanted = f"needs 1 to {_WIDEST_DECIMAL} digits, and no more decimal places than that"
            raise _Unreadable(f"decimal({digits},{scale}) {wanted}")
        return pa.decimal128(_WIDEST_DECIMAL, scale)

    def _struct(self, level: int) -> pa.DataType:
        self._expect("<")
        fields = [self._field(level)]
        while self._peek() == ",":
            self._expect(",")
            fields.append(self._field(level))
        try:
            check_field_names([field.name for field in fields], "struct")
        except InvalidData as error:
            raise _Unreadable(str(error)) from None
        return self._closed(pa.struct(fields))

    def _field(self, level: int) -> pa.Field:
        token = self._take()
        name = token[1:-1].replace('""', '"') if token.startswith('"') else token
        self._expect(":")
        return pa.field(name, self.type(level + 1))

    def _closed(self, type_: pa.DataType) -> pa.DataType:
        self._expect(">")
        return type_

    def _number(self) -> int:
        token = self._take()
        if not token.isdecimal():
            raise _Unreadable(f"found {token!r} where a number is expected")
        return int(token)

    def _expect(self, token: str) -> None:
        if (found := self._take()) != token:
            raise _Unreadable(f"{token!r} is missing" + (f" before {found!r}" if found else " at its end"))

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""


def _tokens(text: str) -> list[str]:
    tokens, position, end = list[str](), 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            raise _Unreadable(f"{text[position:].strip()[0]!r} has no place in it")
        tokens.append(found[1])
        position = found.end()
    return tokens
