"""SQL that casts a column to another type, and SQL that finds the values which the cast would change.

A value is kept if casting it back gives the same value. Text becomes a number, a date or an instant if it is that
value's own spelling; `Leeway` allows other spellings. Where there is no cast from one type to the other, only NULL is
kept, so a list that never had an element can become a list of any type. Pure; the SQL is DuckDB's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import product

import pyarrow as pa

from timestore_pipeline.model.sql_types import duckdb_type, literal, quote

_DATE = r"\d{4}-\d\d-\d\d"
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6}0*)?"
_UTC = r"(Z|\+00(:?00)?)"
_MOST_DIGITS = 15  # decimal digits that every double keeps


@dataclass(frozen=True, slots=True)
class Leeway:
    """Interpretations of values that a change of type may make."""

    parse: bool = False  # any text that parses as a number or an instant counts as one: "007", "+1.50", "1e3"
    local_is_utc: bool = False  # timestamps without a zone are in UTC

    def __str__(self) -> str:
        """Such as "parse+local_is_utc"; "exact" = none."""
        return "+".join(field.name for field in fields(self) if getattr(self, field.name)) or "exact"


LEEWAYS = {str(leeway): leeway for leeway in (Leeway(*flags) for flags in product((False, True), repeat=2))}


@dataclass(frozen=True, slots=True)
class Recast:
    """Two SQL expressions over a row."""

    value: str  # in the new type; meaningless where `kept` is false
    kept: str  # true or false, never NULL


def recast(expression: str, old: pa.DataType, new: pa.DataType, leeway: Leeway, depth: int = 0) -> Recast:
    """From one canonical type to another. depth: of nesting, makes the parameter names of lambdas distinct."""
    t = pa.types
    if old.equals(new):
        return Recast(expression, "TRUE")
    if t.is_struct(old) and t.is_struct(new):
        return _struct(expression, old, new, leeway, depth)
    if t.is_list(old) and t.is_list(new):
        name = f"e{depth}"
        part = recast(name, old.value_type, new.value_type, leeway, depth + 1)
        value = f"list_transform({expression}, lambda {name}: {part.value})::{duckdb_type(new)}"
        return Recast(value, _none_refused(expression, name, part.kept))
    if t.is_map(old) and t.is_map(new):
        return _map(expression, old, new, leeway, depth)
    return _leaf(expression, old, new, leeway)


def needs_a_zone(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether the change converts, at any depth, between timestamps with and without a zone."""
    pairs = list(_leaf_pairs(old, new))
    return any(_is_time(was) and _is_time(becomes) and was.tz != becomes.tz for was, becomes in pairs)


def _leaf_pairs(old: pa.DataType, new: pa.DataType) -> Iterator[tuple[pa.DataType, pa.DataType]]:
    t = pa.types
    if t.is_struct(old) and t.is_struct(new):
        for field in old:
            if new.get_field_index(field.name) >= 0:
                yield from _leaf_pairs(field.type, new.field(field.name).type)
    elif t.is_list(old) and t.is_list(new):
        yield from _leaf_pairs(old.value_type, new.value_type)
    elif t.is_map(old) and t.is_map(new):
        yield from _leaf_pairs(old.key_type, new.key_type)
        yield from _leaf_pairs(old.item_type, new.item_type)
    else:
        yield old, new


def _struct(expression: str, old: pa.StructType, new: pa.StructType, leeway: Leeway, depth: int) -> Recast:
    """A field that the new type lacks may only hold NULL; one that it adds is NULL."""
    values, kept = [], []
    for field in new:
        inner = f"struct_extract({expression}, {literal(field.name)})"
        if old.get_field_index(field.name) < 0:
            values.append(f"{quote(field.name)} := NULL::{duckdb_type(field.type)}")
            continue
        part = recast(inner, old.field(field.name).type, field.type, leeway, depth)
        values.append(f"{quote(field.name)} := {part.value}")
        kept.append(part.kept)
    gone = [field.name for field in old if new.get_field_index(field.name) < 0]
    kept += [f"struct_extract({expression}, {literal(name)}) IS NULL" for name in gone]
    value = f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({', '.join(values)}) END"
    return Recast(value, _all(kept))


def _map(expression: str, old: pa.MapType, new: pa.MapType, leeway: Leeway, depth: int) -> Recast:
    """Two keys that become equal are refused: DuckDB cannot make a map of them."""
    name = f"e{depth}"
    key = recast(f"struct_extract({name}, 'key')", old.key_type, new.key_type, leeway, depth + 1)
    item = recast(f"struct_extract({name}, 'value')", old.item_type, new.item_type, leeway, depth + 1)
    entries = f"map_entries({expression})"
    pairs = f"list_transform({entries}, lambda {name}: struct_pack(k := {key.value}, v := {item.value}))"
    value = f"TRY(map_from_entries({pairs})::{duckdb_type(new)})"
    is_one = f"({expression} IS NULL OR {value} IS NOT NULL)"
    return Recast(value, _all([_none_refused(entries, name, _all([key.kept, item.kept])), is_one]))


def _none_refused(elements: str, name: str, kept: str) -> str:
    return f"(coalesce(len(list_filter({elements}, lambda {name}: NOT {kept})), 0) = 0)"


def _all(conditions: list[str]) -> str:
    found = [condition for condition in conditions if condition != "TRUE"]
    return f"({' AND '.join(found)})" if found else "TRUE"


def _leaf(expression: str, old: pa.DataType, new: pa.DataType, leeway: Leeway) -> Recast:
    if pa.types.is_string(new):
        return _to_text(expression, old)
    if pa.types.is_string(old):
        return _of_text(expression, new, leeway)
    if _has_a_way(old, new, leeway):
        value = f"TRY_CAST({expression} AS {duckdb_type(new)})"
        return Recast(value, _comes_back(expression, f"TRY_CAST({value} AS {duckdb_type(old)})", old))
    return Recast(f"NULL::{duckdb_type(new)}", f"({expression} IS NULL)")


def _has_a_way(old: pa.DataType, new: pa.DataType, leeway: Leeway) -> bool:
    if _is_number(old) and _is_number(new):
        return True
    if _is_time(old) and _is_time(new):
        return old.tz == new.tz or leeway.local_is_utc
    dates = pa.types.is_date(old), pa.types.is_date(new)
    return any(dates) and (_is_time(old) or _is_time(new))


def _comes_back(expression: str, back: str, old: pa.DataType) -> str:
    """Doubles are compared as text, too: 0 equals -0, but is not the same value."""
    same = f"({back} IS NOT DISTINCT FROM {expression})"
    if pa.types.is_floating(old) or pa.types.is_nested(old):
        return f"({same} AND CAST({back} AS VARCHAR) IS NOT DISTINCT FROM CAST({expression} AS VARCHAR))"
    return same


def _to_text(expression: str, old: pa.DataType) -> Recast:
    kind = duckdb_type(old)
    if pa.types.is_nested(old):
        value = f"CAST(to_json({expression}) AS VARCHAR)"
        return Recast(value, _comes_back(expression, f"TRY(CAST(CAST({value} AS JSON) AS {kind}))", old))
    if pa.types.is_binary(old):
        value = f"TRY(decode({expression}))"
        return Recast(value, _comes_back(expression, f"encode({value})", old))
    value = f"CAST({expression} AS VARCHAR)"
    if _is_time(old):
        value = f"replace(replace({value}, ' ', 'T'), '+00', 'Z')"
    return Recast(value, _comes_back(expression, f"TRY_CAST({value} AS {kind})", old))


def _of_text(expression: str, new: pa.DataType, leeway: Leeway) -> Recast:
    kind = duckdb_type(new)
    if pa.types.is_nested(new):
        value = f"TRY(CAST(TRY_CAST({expression} AS JSON) AS {kind}))"
        same = f"(CAST(to_json({value}) AS VARCHAR) = {expression})"
    elif pa.types.is_binary(new):
        value, same = f"encode({expression})", "TRUE"
    else:
        text = f"trim({expression})" if leeway.parse else expression
        value = f"TRY_CAST({text} AS {kind})"
        same = _reads_as(text, value, new, leeway) if leeway.parse else _is_spelt(expression, value, new, leeway)
    return Recast(value, f"({expression} IS NULL OR coalesce({same}, FALSE))" if same != "TRUE" else same)


def _is_spelt(text: str, value: str, new: pa.DataType, leeway: Leeway) -> str:
    """Whether a text is the value's own spelling; a whole double and a decimal also match without trailing zeros."""
    spelt = f"CAST({value} AS VARCHAR)"
    if _is_time(new):
        return f"({_matches(text, _DATE + '[T ]' + _TIME + _zone(new, leeway, _UTC))} AND {value} IS NOT NULL)"
    if pa.types.is_date(new):
        return f"({_matches(text, _DATE)} AND {spelt} = {text})"
    if pa.types.is_floating(new):
        return f"(isfinite({value}) AND {text} IN ({spelt}, regexp_replace({spelt}, '\\.0$', '')))"
    if pa.types.is_decimal(new):
        return f"({text} IN ({spelt}, regexp_replace({spelt}, '(\\.\\d*?)0+$', '\\1').rtrim('.')))"
    return f"({spelt} = {text})"


def _reads_as(text: str, value: str, new: pa.DataType, leeway: Leeway) -> str:
    """Whether a text parses as a value of the type without losing a digit."""
    if pa.types.is_floating(new):
        return f"({_keeps_digits(text, value)} OR {_is_spelt(text, value, new, leeway)})"
    pattern = _pattern(new, leeway)
    return f"({_matches(text, pattern)} AND {value} IS NOT NULL)"


def _pattern(new: pa.DataType, leeway: Leeway) -> str:
    if _is_time(new):
        offset = r" ?(Z|[+-]\d\d(:?\d\d)?)"
        return _DATE + r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6}0*)?)?" + _zone(new, leeway, offset)
    if pa.types.is_date(new):
        return r"\d{4}-\d{1,2}-\d{1,2}"
    if pa.types.is_boolean(new):
        return "(?i)true|false"
    places = new.scale if pa.types.is_decimal(new) else 0
    return rf"[+-]?(\d+(\.\d{{0,{places}}}0*)?|\.\d{{1,{max(places, 1)}}}0*)" if places else r"[+-]?\d+(\.0*)?"


def _zone(new: pa.TimestampType, leeway: Leeway, offset: str) -> str:
    """The pattern after a time: empty for a local time, the offset for an instant."""
    if new.tz is None:
        return ""
    return f"({offset})?" if leeway.local_is_utc else offset


def _keeps_digits(text: str, value: str) -> str:
    number = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
    digits = f"trim(regexp_replace(regexp_replace({text}, '[eE].*$', ''), '[+.-]', '', 'g'), '0')"
    whole = f"(length({digits}) <= {_MOST_DIGITS} AND ({value} <> 0 OR {digits} = ''))"
    return f"({_matches(text, number)} AND isfinite({value}) AND {whole})"


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {literal(pattern)})"


def _is_number(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_int64(kind) or t.is_float64(kind) or t.is_decimal(kind))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind))
