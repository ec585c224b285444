"""Whether a flush can export a dataset's columns at all: a schema for which its memory is too small is refused at once.

An export holds a buffer for each column, and for each field inside one, however few rows there are. Refused later, the
rows would be acknowledged and no flush could publish them.
"""

from __future__ import annotations

import pyarrow as pa

from timestore_pipeline.errors import InvalidData
from timestore_pipeline.model.canonical import MOST_FIELDS, fields_of
from timestore_pipeline.staging.ledger.dataset_record import DatasetRecord

_FIELD_BYTES = 96 << 10  # of an export's memory; 70 kB were measured for numbers in lists, and for text


def most_fields(memory_mb: int) -> int:
    """Columns of a dataset, fields inside included. memory_mb: of one export."""
    return min(MOST_FIELDS, (memory_mb << 20) // _FIELD_BYTES)


def check_exportable(schema: pa.Schema, record: DatasetRecord, most: int) -> None:
    """Raise `InvalidData` for new columns that no export could hold; those that the dataset has already stay."""
    count = sum(fields_of(column.type) for column in schema)
    if count > most and (record.schema is None or not schema.equals(record.schema)):
        raise InvalidData(
            f"dataset {record.name} would have {count} columns and fields; the memory of an export suffices for {most}",
            dataset=record.name,
            hint="raise TIMESTORE_EXPORT_MEMORY_MB, lower TIMESTORE_RUN_THREADS, or send fewer columns",
        )
