"""Files of the table are replaced and deleted while a query reads: its result is complete, or an error."""

from __future__ import annotations

import pytest

from tests.maintain.small_files import AT_ONCE, content, live, maintained, publish
from tests.query.answers import ask
from timestore_pipeline.errors import Corrupted, RetryLater
from timestore_pipeline.wiring import Timestore

FIRST = 3_000_000  # rows that come before those of the table: by then no file of it has been opened
SQL = f"SELECT i AS n FROM range({FIRST}) t(i) UNION ALL SELECT n FROM weather"


@pytest.fixture
def fragmented(timestore: Timestore) -> Timestore:
    """Ten rows in each of twelve files."""
    for number in range(6):
        publish(timestore, number)
    return timestore


def test_a_query_reads_the_files_that_it_began_with(fragmented: Timestore) -> None:
    with fragmented.query(SQL) as answer:
        rows = answer.rows.read_next_batch().num_rows
        assert maintained(fragmented).compacted_files == 12
        assert rows + sum(batch.num_rows for batch in answer.rows) == FIRST + 60


def test_a_query_that_outlives_the_retention_says_so(fragmented: Timestore) -> None:
    with fragmented.query(SQL) as answer:
        assert len(maintained(fragmented, retention=AT_ONCE).deleted) == 12
        with pytest.raises(RetryLater, match="was replaced and deleted while it was read"):
            answer.rows.read_all()
    assert ask(fragmented, "SELECT count(*) AS n FROM weather") == [{"n": len(content(fragmented))}]


def test_a_file_that_is_missing_from_the_table_is_named(fragmented: Timestore) -> None:
    live(fragmented)[0].unlink()
    with pytest.raises(Corrupted, match=live(fragmented)[0].name):
        ask(fragmented, "SELECT sum(n) AS n FROM weather")
