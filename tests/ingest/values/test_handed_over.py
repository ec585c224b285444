"""What other libraries hand over: exactly the rows of each batch, and no null key that ends the process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

from tests.ingest.handing_over import CASES, LENGTH, Edited, batch
from tests.ingest.map_streams import GOOD, LISTED, MAP
from timestore_pipeline.errors import InvalidData
from timestore_pipeline.ingest.normalize import read_arrow

REFUSED = {
    "a column": "column 'v{key}', one of rows 0 to 1",
    "one row": "column 'v{key}', row 0",
    "a null entry": "column 'v{key}', row 0",
    "in a list": "column 'v[]{key}', one of rows 0 to 1",
    "in a struct": "column 'v.m{key}', row 0",
    "in one of two": "column 'v{key}', row 0",
    "under a null": "column 'v{key}', row 0",
    "behind another": "column 'v{key}', row 0",
    "a batch": "column 'v{key}', one of rows 0 to 1",
    "a reader": "column 'v{key}', one of rows 2 to 3",
    "structs": "column 'm{key}', one of rows 0 to 1",
    "chunks": "column 'm{key}', one of rows 1 to 2",
}
PROBLEM = "null was taken for a key, which no map can have (give each entry a key)"


@dataclass
class Streamed:
    chunks: pa.ChunkedArray

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self.chunks.__arrow_c_stream__(requested_schema)


@dataclass
class Handed:
    array: pa.Array

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return self.array.__arrow_c_array__(requested_schema)


def test_a_null_key_is_refused_and_ends_no_process() -> None:
    """In a process of its own: a test that Arrow aborts would take all others with it."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.ingest.handing_over"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [f"{name}: {REFUSED[name]}: {PROBLEM}" for name in CASES]


def test_a_map_is_taken() -> None:
    maps = pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64()))
    assert read_arrow(Handed(pa.record_batch({"v": maps}))).column("v").to_pylist() == maps.to_pylist()


def test_a_batch_has_no_more_rows_than_it_says() -> None:
    """What lies in the arrays behind its last row is not of it."""
    of_one = pa.array([{"x": 1}, {"x": 2}, {"x": 3}]).slice(0, 1)
    for data in (of_one, Handed(of_one), Streamed(pa.chunked_array([of_one, of_one]))):
        rows = read_arrow(data)
        assert rows.column("x").to_pylist() == [1] * rows.num_rows


def test_rows_before_the_first_are_left_out_or_the_batch_is_refused() -> None:
    last = pa.array([{"x": 1}, {"x": 2}]).slice(1)
    assert read_arrow(last).to_pylist() == [{"x": 2}]
    assert read_arrow(pa.chunked_array([last])).to_pylist() == [{"x": 2}]
    with pytest.raises(InvalidData, match="non-zero offset"):
        read_arrow(Handed(last))


def test_a_batch_with_too_few_values_is_refused() -> None:
    short = Edited(batch(MAP, LISTED, GOOD, GOOD), LENGTH, 1)
    with pytest.raises(InvalidData, match=r"a batch is malformed: .* column 0 did not match batch: 1 vs 2"):
        read_arrow(short)


def test_metadata_of_a_schema_comes_along() -> None:
    batch = pa.record_batch({"x": [1]}).replace_schema_metadata({"of": "the schema"})
    for data in (batch, Handed(batch), pa.RecordBatchReader.from_batches(batch.schema, [batch])):
        assert read_arrow(data).schema.metadata == {b"of": b"the schema"}
