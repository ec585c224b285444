"""How one dataset is flushed and written where it differs from the defaults: `staging.flush` of its metadata."""

from __future__ import annotations

from collections import Counter
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from timestore_pipeline.model.section import Section

Compression = Literal["zstd", "snappy", "gzip", "lz4", "uncompressed"]  # as DuckDB names them

LEAST_ROW_GROUP = 2_048  # rows of one DuckDB vector: it never writes smaller groups

_LEVELLED = "zstd"  # the only codec for which DuckDB takes a level
_NUMBERS = ("max_rows", "max_bytes", "max_age_ms", "compression_level", "row_group_size")


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
        if isinstance(value, bool):
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
