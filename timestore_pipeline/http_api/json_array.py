"""A JSON array of objects as NDJSON: the text of each object is kept, so numbers lose no digit on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from timestore_pipeline.errors import InvalidData, UnreadableInput

_BLANK = " \t\n\r"
_HINT = "send one array of objects, in UTF-8"


def array_to_lines(source: Path, target: Path) -> None:
    """Write each object of the array in `source` to a line of its own.

    Raises `UnreadableInput` for anything that is not one JSON array, `InvalidData` naming the row (the first is row 0)
    that is not an object.
    """
    try:
        text = source.read_bytes().decode("utf-8-sig")
        with target.open("w", encoding="utf-8") as lines:
            for row in _objects(text):
                lines.write(row.replace("\r", " ").replace("\n", " ") + "\n")  # line ends are blanks here, never text
    except RecursionError as error:
        raise UnreadableInput("the body's JSON is nested too deeply", hint="flatten it") from error
    except ValueError as error:
        raise UnreadableInput(f"the body is not JSON: {error}", hint=_HINT) from error


def _objects(text: str) -> Iterator[str]:
    decoder = json.JSONDecoder(parse_constant=_refuse)
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        raise UnreadableInput("the body is not a JSON array", hint=_HINT)
    position = _skip(text, position + 1)
    number = 0
    while text[position : position + 1] != "]":
        if number:
            position = _after_comma(text, position)
        value, end = decoder.raw_decode(text, position)
        _check_object(value, number)
        yield text[position:end]
        position = _skip(text, end)
        number += 1
    if _skip(text, position + 1) != len(text):
        raise UnreadableInput("the body goes on after the end of its JSON array", hint=_HINT)


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANK:
        position += 1
    return position


def _after_comma(text: str, position: int) -> int:
    if text[position : position + 1] != ",":
        raise UnreadableInput(f"the body's JSON array breaks off at character {position}", hint=_HINT)
    return _skip(text, position + 1)


def _check_object(value: Any, number: int) -> None:
    if not isinstance(value, dict):
        raise InvalidData(f"row {number} is a JSON {type(value).__name__}, not an object", hint=_HINT)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; write null or a string")
