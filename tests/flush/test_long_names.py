"""Names of as many bytes as there may be, at every depth: what is staged under them, every documented reader finds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from tests.flush.conftest import START
from tests.lake.reading import READERS
from tests.query import answers
from timestore_pipeline import StagingManager
from timestore_pipeline.model.canonical import LONGEST_NAME
from timestore_pipeline.model.flush import Trigger
from timestore_pipeline.wiring import Timestore

ALPHABETS = {"one byte": "n", "two bytes": "é", "three bytes": "値", "four bytes": "😀"}
LAYOUTS = {"none": 1, "hour": 3}  # granularity -> files of three rows


def longest(letter: str, kind: str) -> str:
    """A name of the most bytes that begins with `kind` and ends in as many letters as there is room for."""
    count, rest = divmod(LONGEST_NAME - len(kind), len(letter.encode()))
    return kind + "." * rest + letter * count


def hourly(letter: str, first: int) -> pa.Table:
    """Three rows, one an hour, in which columns and the fields inside them have such names."""
    instants = pa.array([START + timedelta(hours=n) for n in range(first, first + 3)], pa.timestamp("us", "UTC"))
    numbers = pa.array(range(first, first + 3), pa.int64())
    inner = pa.StructArray.from_arrays([numbers, numbers.cast("string")], [longest(letter, kind) for kind in "xy"])
    each = pa.array(range(4), pa.int32())
    columns = {
        "at": instants,
        "number": numbers,
        "struct": inner,
        "list": pa.ListArray.from_arrays(each, inner),
        "map": pa.MapArray.from_arrays(each, numbers.cast("string"), inner),
    }
    return pa.table({longest(letter, kind): column for kind, column in columns.items()})


def rows(table: pa.Table, names: list[str]) -> list[dict[str, Any]]:
    return sorted(table.select(names).to_pylist(), key=lambda row: row[names[1]])


@pytest.mark.parametrize("granularity", LAYOUTS)
@pytest.mark.parametrize("letter", ALPHABETS.values(), ids=ALPHABETS)
def test_every_reader_finds_what_was_staged(
    letter: str, granularity: str, staging: StagingManager, timestore: Timestore
) -> None:
    first, later = hourly(letter, 0), hourly(letter, 3)
    names = first.column_names
    staging.set_metadata("d", {"partition": {"granularity": granularity}})
    staging.enqueue("d", first)
    assert rows(answers.table(timestore, "SELECT * FROM d"), names) == first.to_pylist()
    timestore.flush("d", Trigger.MANUAL, "run")
    table = timestore.lake.table("d")
    assert len(table.to_arrow_dataset().files) == LAYOUTS[granularity]
    staging.enqueue("d", later)
    timestore.flush("d", Trigger.MANUAL, "run")
    for name, read in READERS.items():
        assert rows(read(table.uri), names) == first.to_pylist() + later.to_pylist(), name
