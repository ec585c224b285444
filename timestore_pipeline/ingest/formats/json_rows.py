"""Rows of JSON as Python values that keep every digit: a number with a fraction or an exponent stays the text it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from timestore_pipeline.ingest.formats.json_blocks import ROW_HINT, Rows
from timestore_pipeline.model.refusals import SHOWN_IN_FILE, quoted, refused_in_file, unreadable_file
from timestore_pipeline.model.unique_keys import KeyTwice, unique_keys
from timestore_pipeline.system.legible import is_text

_LONGEST_WHOLE = 40  # characters; more are refused as they stand


class Fraction(str):
    """A number that is no plain integer, as it is written."""

    __slots__ = ()


def parse_rows(path: Path, rows: Rows) -> list[dict[str, Any]]:
    """One mapping per row; raises `UnreadableInput` and `InvalidData` that name the line."""
    return [_row(path, line, place) for line, place in zip(rows.lines, rows.places, strict=True)]


def check_strings(path: Path, value: Any, place: str, column: str = "") -> None:
    """Refuse text that no encoding of Unicode can hold: half of a surrogate pair. column: the path of the value."""
    if isinstance(value, str):
        if not is_text(value):
            problem = f"{ascii(value)[:SHOWN_IN_FILE]} holds half of a surrogate pair, which is no character"
            raise refused_in_file(path, place, problem, "write whole characters", column or None)
    elif isinstance(value, dict):
        for name, inner in value.items():
            below = f"{column}.{name}" if column else name
            check_strings(path, name, place, below)
            check_strings(path, inner, place, below)
    elif isinstance(value, Sequence):
        for inner in value:
            check_strings(path, inner, place, f"{column}[]")


def _row(path: Path, line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(
            line.decode(), parse_int=_whole, parse_float=Fraction, parse_constant=_refuse, object_pairs_hook=unique_keys
        )
    except KeyTwice as error:
        hint = "write every key once: which of two values is meant cannot be told"
        raise refused_in_file(path, place, "an object has this key twice", hint, str(error)) from None
    except RecursionError:
        raise unreadable_file(path, place, "it is nested too deeply", "flatten it") from None
    except json.JSONDecodeError as error:
        problem = f"{error.msg} (character {error.pos + 1} of the row)"
        raise unreadable_file(path, place, problem, ROW_HINT) from None
    except ValueError as error:  # also of bytes that are no UTF-8
        raise unreadable_file(path, place, error, ROW_HINT) from None
    if not isinstance(row, dict):
        raise refused_in_file(path, place, f"{quoted(line.decode().strip())} is not an object", ROW_HINT)
    if b"\\u" in line:
        check_strings(path, row, place)
    return row


def _whole(token: str) -> int | Fraction:
    return Fraction(token) if token == "-0" or len(token) > _LONGEST_WHOLE else int(token)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; write null or a string")
