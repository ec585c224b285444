"""The declared dialect of a dataset's CSV."""

from __future__ import annotations

import codecs

from pydantic import Field, field_validator, model_validator

from timestore_pipeline.model.section import Section


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
            is_text = encoding is None or codecs.lookup(encoding)._is_text_encoding  # as `open` asks
        except (LookupError, ValueError):
            is_text = False
        if not is_text:
            raise ValueError(f"{encoding!r} is not an encoding that Python knows")
        return encoding

    @model_validator(mode="after")
    def _marks_differ(self) -> CsvDialect:
        if self.decimal is not None and self.decimal == self.delimiter:
            raise ValueError(f"{self.decimal!r} cannot be both the delimiter and the decimal mark")
        return self
