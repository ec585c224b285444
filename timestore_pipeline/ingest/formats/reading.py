"""What is known of a dataset before text for it is read: then a column is parsed as what it is, and guessed at no more.

All doors read with the same `Reading`, made in one place (`StagingManager.reading`), so that a file means the same rows
whether it is ingested, dropped, imported or sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from timestore_pipeline.errors import InvalidMetadata
from timestore_pipeline.ingest.formats.known_text import KnownColumn
from timestore_pipeline.model.dataset import DatasetMetadata, LocalTimestamps, SubMicroseconds
from timestore_pipeline.model.declared import Meaning
from timestore_pipeline.model.metadata_sections import CsvDialect
from timestore_pipeline.model.schema_json import schema_from_json, schema_to_json


@dataclass(frozen=True)
class Reading:
    """Nothing is known by default."""

    schema: pa.Schema | None = None  # of the dataset, canonical
    metadata: DatasetMetadata = field(default_factory=DatasetMetadata)
    time_column: str | None = None  # as fixed or as declared
    most_cells: int | None = None  # rows times columns of JSON, where most may be absent; None = any number

    @property
    def csv(self) -> CsvDialect:
        return self.metadata.csv

    @property
    def finer(self) -> SubMicroseconds:
        """What becomes of times with more digits than microseconds."""
        return self.metadata.schema_.sub_microseconds

    @property
    def local_as_utc(self) -> bool:
        """Whether times without an offset are taken for UTC."""
        return self.metadata.schema_.local_timestamps is LocalTimestamps.UTC

    def column(self, name: str) -> KnownColumn | None:
        """What is known of a column; None = nothing."""
        return self.columns.get(name)

    @property
    def declared_names(self) -> tuple[str, ...]:
        return tuple(self.metadata.schema_.columns)

    @cached_property
    def columns(self) -> Mapping[str, KnownColumn]:
        """All that is known, by name."""
        known = partial(KnownColumn, comma=self.csv.decimal == ",", local_as_utc=self.local_as_utc)
        found = {field.name: known(field.type, _meaning(field.type)) for field in self.schema or ()}
        for name, declared in self.metadata.schema_.declared.items():
            found[name] = known(declared.type, declared.meaning, declared=True)
        return found

    def with_csv(self, said: Mapping[str, Any]) -> Reading:
        """With another dialect for this one input; None in `said` = as the dataset's. Raises `InvalidMetadata`."""
        wanted = {name: value for name, value in said.items() if value is not None}
        if not wanted:
            return self
        try:
            dialect = CsvDialect.model_validate({**self.csv.model_dump(), **wanted})
        except ValidationError as error:
            problems = "; ".join(problem["msg"] for problem in error.errors())
            hint = "see `csv` in docs/configuration.md"
            raise InvalidMetadata(f"the CSV cannot be read like that: {problems}", hint=hint) from error
        return replace(self, metadata=self.metadata.model_copy(update={"csv": dialect}))

    def to_json(self) -> str:
        """For another process."""
        schema = None if self.schema is None else schema_to_json(self.schema)
        return json.dumps({"schema": schema, "metadata": self.metadata.to_json(), "time_column": self.time_column})

    @classmethod
    def from_json(cls, text: str) -> Reading:
        """The inverse of `to_json`."""
        document = json.loads(text)
        schema = None if document["schema"] is None else schema_from_json(document["schema"])
        return cls(schema, DatasetMetadata.parse(document["metadata"]), document["time_column"])


def _meaning(type_: pa.DataType) -> Meaning:
    if pa.types.is_time(type_):
        return Meaning.TIME
    return Meaning.DURATION if pa.types.is_duration(type_) else Meaning.PLAIN


UNKNOWN = Reading()
