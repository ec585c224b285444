from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from demo.source import DATASETS, rows_of
from demo.verification import compare, compare_all

_SOURCE = pa.table({"n": [1, 2, 3]})


def test_the_same_rows_in_another_order_are_equal() -> None:
    outcome = compare("numbers", _SOURCE, pa.table({"n": [3, 1, 2]}))
    assert outcome.equal
    assert outcome.source_hash == outcome.published_hash


def test_a_missing_row_is_named() -> None:
    outcome = compare("numbers", _SOURCE, pa.table({"n": [3, 1]}))
    assert outcome.problems == ('numbers: 1 rows missing, such as {"n integer":"2"}',)


def test_a_doubled_row_is_named() -> None:
    outcome = compare("numbers", _SOURCE, pa.table({"n": [3, 1, 2, 2]}))
    assert outcome.problems == ('numbers: 1 rows doubled or foreign, such as {"n integer":"2"}',)


def test_a_row_lost_and_another_doubled_is_no_draw() -> None:
    outcome = compare("numbers", _SOURCE, pa.table({"n": [3, 3, 2]}))
    assert outcome.source_rows == outcome.published_rows
    assert len(outcome.problems) == 2


def test_a_lake_that_holds_the_source_is_equal_and_one_that_lacks_a_table_is_not(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "weather", rows_of("weather", days=2))
    outcome = {comparison.dataset: comparison for comparison in compare_all(tmp_path, days=2)}
    assert set(outcome) == set(DATASETS)
    assert outcome["weather"].equal
    assert outcome["flights"].problems == ("flights: nothing was published",)
