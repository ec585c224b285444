"""The demo's verdict: the tables equal the source, row by row, read by another engine than the one that wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from demo.content import content_hash, surplus
from demo.source import DATASETS, rows_of


@dataclass(frozen=True, slots=True)
class Comparison:
    """One dataset's source against its published table."""

    dataset: str
    source_rows: int
    published_rows: int
    source_hash: str
    published_hash: str
    problems: tuple[str, ...]  # empty = equal, in any order of rows

    @property
    def equal(self) -> bool:
        return not self.problems


def compare_all(lake: Path, days: int) -> list[Comparison]:
    """Every dataset of the first `days` days against its Delta table at `<lake>/<dataset>`."""
    return [_compare_with_lake(dataset, rows_of(dataset, days), lake) for dataset in DATASETS]


def compare(dataset: str, source: pa.Table, table: pa.Table) -> Comparison:
    hashes = content_hash(source), content_hash(table)
    problems = () if hashes[0] == hashes[1] else tuple(_differences(dataset, source, table))
    return Comparison(dataset, source.num_rows, table.num_rows, *hashes, problems)


def _compare_with_lake(dataset: str, source: pa.Table, lake: Path) -> Comparison:
    try:
        table = DeltaTable(lake / dataset).to_pyarrow_table()
    except TableNotFoundError:
        table = source.schema.empty_table()
    return compare(dataset, source, table)


def _differences(dataset: str, source: pa.Table, table: pa.Table) -> Iterator[str]:
    if table.num_rows == 0:
        yield f"{dataset}: nothing was published"
        return
    for what, one, other in (("missing", source, table), ("doubled or foreign", table, source)):
        count, examples = surplus(one, other)
        if count:
            yield f"{dataset}: {count} rows {what}, such as {examples[0]}"
