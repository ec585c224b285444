"""How a flush writes its Parquet files: codec, level, rows in a row group."""

from __future__ import annotations

from dataclasses import dataclass

from timestore_pipeline.model.flush_overrides import FlushOverrides


@dataclass(frozen=True, slots=True)
class ParquetOptions:
    compression: str = "zstd"
    compression_level: int = 0  # of zstd; 0 = the codec's own default
    row_group_size: int = 122_880  # rows; DuckDB's own unit, the grain of pruning inside a file

    def overridden(self, overrides: FlushOverrides) -> ParquetOptions:
        """These options with the given values in place. Another codec begins without a level."""
        compression = overrides.compression or self.compression
        kept = self.compression_level if compression == self.compression else 0
        level = kept if overrides.compression_level is None else overrides.compression_level
        return ParquetOptions(compression, level, overrides.row_group_size or self.row_group_size)
