"""CSV with a header line, read twice: once to settle the columns' types, once for the rows.

Arrow's own reader guesses from the first block and fails when a later one disagrees. Here all cells are read as text in
both passes and converted by `text_types`, so the pass that settles and the pass that delivers cannot disagree.
An empty cell is null, a quoted empty one is an empty string.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from timestore_pipeline.ingest.text_types import NUMBERS, TIMES, join, narrowest_type, parse_text

_BLOCK_BYTES = 4 << 20  # the longest line Arrow accepts, and what one block of text costs in memory


def open_csv(path: Path) -> tuple[int, Callable[[], Iterator[pa.Table]]]:
    """Row count and reader; the types are those of the narrowest kind that reads the whole column."""
    rows, types = 0, None
    for block in _text_blocks(path):
        _check_separator(block.column_names)
        found = [narrowest_type(column.combine_chunks(), NUMBERS + TIMES) for column in block.columns]
        types = found if types is None else [join(*pair) for pair in zip(types, found, strict=True)]
        rows += block.num_rows
    return rows, lambda: _tables(path, types or [])


def _check_separator(names: list[str]) -> None:
    """One column that is named like several would be staged as it is, and spoil the dataset's columns."""
    if len(names) == 1 and (other := next((mark for mark in ";\t|" if mark in names[0]), None)):
        raise ValueError(f"its only column is named {names[0]!r}: fields are separated by commas, not by {other!r}")


def _tables(path: Path, types: list[pa.DataType]) -> Iterator[pa.Table]:
    for block in _text_blocks(path):
        columns = [
            parse_text(column.combine_chunks(), type_) for column, type_ in zip(block.columns, types, strict=True)
        ]
        yield pa.Table.from_arrays(columns, names=block.column_names)


def _text_blocks(path: Path) -> Iterator[pa.Table]:
    options = pa.csv.ConvertOptions(
        default_column_type=pa.string(), null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    with pa.csv.open_csv(
        path,
        read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=options,
    ) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])
