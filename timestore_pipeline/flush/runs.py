"""Which partitions of an export are written together: many small ones that follow each other in time.

Alone, each costs a scan of the claim and some flushes to disk one after the other, however few its rows; ten years by
the hour have 87,600.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from timestore_pipeline.model.lake import PartitionKey

FEWEST = 8  # fewer are written one by one, each on all threads
MOST = 1024  # files, which are all in vain when the disk fills at the last
MOST_ROWS = 400_000  # of all together; larger partitions gain nothing


def runs(partitions: Mapping[PartitionKey, int], most_rows: int) -> Iterator[list[PartitionKey]]:
    """Every partition once, in order, those that go together in one list. partitions: in time order -> rows."""
    most_rows = min(most_rows, MOST_ROWS)
    run: list[PartitionKey] = []
    rows = 0
    for key, count in partitions.items():
        if run and (len(run) == MOST or rows + count > most_rows):
            yield from _together(run)
            run, rows = [], 0
        if key.value is None:  # without a time, so beside all the others
            yield [key]
        else:
            run.append(key)
            rows += count
    yield from _together(run)


def _together(run: list[PartitionKey]) -> Iterator[list[PartitionKey]]:
    if len(run) >= FEWEST:
        yield run
    else:
        yield from ([key] for key in run)
