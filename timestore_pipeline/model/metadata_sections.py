"""Parts of a dataset's metadata: the base of all parts, the declared dialect of CSV, and `staging.flush`."""

from __future__ import annotations

import codecs
import encodings
import pkgutil
from collections import Counter
from encodings.aliases import aliases
from functools import cache
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

Compression = Literal["zstd", "snappy", "gzip", "lz4", "uncompressed"]  # as DuckDB names them
_NOT_OF_FILES = frozenset({"idna", "punycode", "undefined"})  # codecs of host names, which read no text in pieces
LEAST_ROW_GROUP = 2_048  # rows of one DuckDB vector: it never writes smaller groups
_LEVELLED = "zstd"  # the only codec for which DuckDB takes a level
_NUMBERS = ("max_rows", "max_bytes", "max_age_ms", "compression_level", "row_group_size")


class Section(BaseModel):
    """Immutable; written in camelCase."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, use_enum_values=False
    )


class CsvDialect(Section):
    """None = recognised where that is safe, else refused with the text found and the option to set."""

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    decimal: str | None = Field(default=None, pattern=r"^[.,]$")  # None = a point
    encoding: str | None = None  # one of Python's names; None = UTF-8
    nulls: tuple[str, ...] = ("",)  # cells that are null; a quoted cell never is
    header: bool = True  # False: the first line is data, and the columns are those of `schema.columns`, in order

    @field_validator("delimiter")
    @classmethod
    def _can_separate(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and (delimiter in '"\r\n\0' or not delimiter.isascii() or delimiter.isalnum()):
            raise ValueError(f"{delimiter!r} cannot separate fields")
        return delimiter

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str | None) -> str | None:
        try:
            is_text = encoding is None or (
                _is_codec(encoding) and codecs.lookup(encoding)._is_text_encoding
            )  # as `open`
        except (LookupError, ValueError):
            is_text = False
        if not is_text:
            raise ValueError(f"{encoding!r:.100} is not an encoding that Python knows")
        return encoding

    @model_validator(mode="after")
    def _marks_differ(self) -> CsvDialect:
        if self.decimal is not None and self.decimal == self.delimiter:
            raise ValueError(f"{self.decimal!r} cannot be both the delimiter and the decimal mark")
        return self


def _is_codec(encoding: str) -> bool:
    """Whether Python has it for files. `codecs` would keep every unknown name in memory, and any client sends some."""
    name = encodings.normalize_encoding(encoding).replace(".", "_").lower()
    return name in _codec_names()


@cache
def _codec_names() -> frozenset[str]:
    modules = [module.name for module in pkgutil.iter_modules(encodings.__path__)]
    return frozenset([*modules, *aliases]) - _NOT_OF_FILES


class FlushOverrides(Section):
    """Values of one dataset; None = the default holds. The names are those of the run configuration, too."""

    max_rows: int | None = Field(default=None, ge=0, le=2**60)  # 0 = off, like the other thresholds
    max_bytes: int | None = Field(default=None, ge=0, le=2**60)
    max_age_ms: int | None = Field(default=None, ge=0, le=3_155_760_000_000)  # 100 years
    compression: Compression | None = None
    compression_level: int | None = Field(default=None, ge=0, le=22)  # of zstd; 0 = the codec's own default
    row_group_size: int | None = Field(default=None, ge=LEAST_ROW_GROUP, le=10_000_000)  # rows
    sort_by: tuple[str, ...] | None = None  # columns before time, within a partition's file; empty = by time alone

    @field_validator(*_NUMBERS, mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        if isinstance(value, bool | str):  # pydantic reads "1_0" as 10
            raise ValueError("Input should be a number")  # noqa: TRY004  # pydantic turns ValueError into a problem
        return value

    @field_validator("sort_by")
    @classmethod
    def _each_column_once(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = [name for name, times in Counter(columns).items() if times > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} is named twice; a column orders the rows once")
        return columns

    @model_validator(mode="after")
    def _level_fits_codec(self) -> Self:
        if self.compression_level and self.compression is not None:
            check_level(self.compression, self.compression_level)
        return self


def check_level(compression: str, level: int) -> None:
    """Raise `ValueError` for a level that the codec does not have."""
    if level and compression != _LEVELLED:
        raise ValueError(
            f"a compression level ({level}) is for {_LEVELLED}, and the compression is {compression}; unset one of them"
        )
