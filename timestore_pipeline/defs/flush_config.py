"""The configuration of a run of `partition_build`, in the same form from the launchpad and from the sensor."""

from collections import Counter
from typing import Literal

import dagster as dg
from pydantic import Field, field_validator

from timestore_pipeline.lake.parquet import ParquetOptions

# Literals, not enumerations: Dagster takes an enumeration's names (ROWS), operators and tags speak its values (rows).
Compression = Literal["zstd", "snappy", "gzip", "lz4", "uncompressed"]
TriggerName = Literal["rows", "bytes", "age", "guardrail", "manual"]

_DEFAULTS = ParquetOptions()


class FlushOverrides(dg.Config):
    """How this flush writes its Parquet files, in place of the defaults."""

    compression: Compression = Field(default="zstd", description="Parquet compression codec.")
    row_group_size: int = Field(
        default=_DEFAULTS.row_group_size,
        ge=2_048,  # rows of one DuckDB vector: it never writes smaller groups
        le=10_000_000,
        description="Rows in a row group, the grain in which readers skip.",
    )

    def parquet_options(self) -> ParquetOptions:
        return ParquetOptions(self.compression, self.row_group_size)


class FlushRequest(dg.Config):
    """One dataset to flush."""

    dataset: str = Field(description="Name as `timestore status` shows it.")
    trigger: TriggerName = Field(default="manual", description="What asks for it; goes into history and metrics.")
    overrides: FlushOverrides = FlushOverrides()


class ClaimConfig(dg.Config):
    """The datasets of one run. They succeed and fail independently of each other."""

    flushes: list[FlushRequest] = Field(description="Datasets to flush, in this order.")

    @field_validator("flushes")
    @classmethod
    def _each_dataset_once(cls, flushes: list[FlushRequest]) -> list[FlushRequest]:
        twice = [name for name, times in Counter(flush.dataset for flush in flushes).items() if times > 1]
        if twice:
            raise ValueError(f"named more than once: {', '.join(twice)}; ask for each dataset once")
        if not flushes:
            raise ValueError("no dataset is named; add one, for example {dataset: weather}")
        return flushes
