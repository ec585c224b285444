"""The formats of bodies: content types and content encodings."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from typing import Any

from timestore_pipeline.errors import UnsupportedType

GZIP = "gzip"
IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class BodyFormat:
    """One format. `types`: its content types, the preferred one first; `suffix`: the name readers know it by."""

    name: str
    types: tuple[str, ...]
    suffix: str
    hint: str  # for a body that cannot be read
    is_text: bool = False  # parsed by the dataset's known columns


FORMATS = (
    BodyFormat(
        "Arrow IPC stream",
        ("application/vnd.apache.arrow.stream",),
        ".arrows",
        "send one whole stream, closed by its writer",
    ),
    BodyFormat("Arrow IPC file", ("application/vnd.apache.arrow.file",), ".arrow", "send one whole file"),
    BodyFormat(
        "Parquet", ("application/vnd.apache.parquet", "application/x-parquet"), ".parquet", "send one whole file"
    ),
    BodyFormat(
        "NDJSON",
        ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"),
        ".ndjson",
        "send one JSON object per line, in UTF-8",
        is_text=True,
    ),
    BodyFormat("JSON", ("application/json",), ".json", "send one array of objects, in UTF-8", is_text=True),
    BodyFormat(
        "CSV", ("text/csv",), ".csv", "send a header line, then as many fields in every line, in UTF-8", is_text=True
    ),
)
CONTENT_TYPES = {content_type: format_ for format_ in FORMATS for content_type in format_.types}
_CSV_PARAMETERS = {"charset": "encoding", "delimiter": "delimiter", "decimal": "decimal"}  # -> their names in `csv`
_LONGEST_TYPE = 1_000  # bytes; ours have 50, and Python takes a second for 16 KiB of parameters
_PREFERRED = ", ".join(format_.types[0] for format_ in FORMATS)


@lru_cache(64)
def body_format(content_type: str | None) -> BodyFormat:
    """The format a `Content-Type` names; raises `UnsupportedType`, also for another character set than UTF-8."""
    if content_type is None:
        raise UnsupportedType("the request has no Content-Type", hint=f"send one of {_PREFERRED}")
    if len(content_type) > _LONGEST_TYPE:
        raise UnsupportedType(
            f"the Content-Type is longer than {_LONGEST_TYPE} bytes", hint=f"send one of {_PREFERRED}"
        )
    header = _parsed(content_type)
    found = CONTENT_TYPES.get(header.get_content_type()) if "/" in content_type else None
    if found is None:
        raise UnsupportedType(f"Content-Type {content_type:.100} is not read here", hint=f"send one of {_PREFERRED}")
    if found.suffix != ".csv":
        _check_parameter(header, "charset", ("utf-8", "utf8", "us-ascii"))
    _check_parameter(header, "header", ("present", "absent"))
    names = [name.lower() for name, _ in header.get_params([])]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UnsupportedType(f"Content-Type with {twice:.40} twice is not read here", hint="send each parameter once")
    return found


def csv_dialect(content_type: str | None) -> dict[str, Any]:
    """The parameters of `text/csv`, for `Reading.with_csv`: charset and header as in RFC 4180, and our own."""
    header = _parsed(content_type or "")
    if header.get_content_type() != "text/csv":
        return {}
    dialect = {ours: _parameter(header, name) for name, ours in _CSV_PARAMETERS.items()}
    nulls, absent = _parameter(header, "null"), (_parameter(header, "header") or "").lower() == "absent"
    return {**dialect, "nulls": None if nulls is None else [nulls], "header": False if absent else None}


def _parsed(content_type: str) -> Message:
    header = Message()
    header["Content-Type"] = content_type.replace("\n", " ").replace("\r", " ")
    return header


def _parameter(header: Message, name: str) -> str | None:
    value = header.get_param(name)
    return None if value is None else str(value)


def content_encoding(encodings: list[str]) -> str:
    """`gzip` or `identity`; raises `UnsupportedType` for anything else, and for several on top of each other."""
    given = [name.strip().lower() for header in encodings for name in header.split(",") if name.strip()]
    given = [GZIP if name == "x-gzip" else name for name in given if name != IDENTITY]
    if not given:
        return IDENTITY
    if given != [GZIP]:
        raise UnsupportedType(f"Content-Encoding {', '.join(given):.100} is not read here", hint="send gzip, or none")
    return GZIP


def _check_parameter(header: Message, name: str, accepted: tuple[str, ...]) -> None:
    value = _parameter(header, name)
    if value is not None and value.lower() not in accepted:
        raise UnsupportedType(f"Content-Type with {name}={value:.40} is not read here", hint=f"send {accepted[0]}")
