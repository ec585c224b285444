"""Files as tables of exactly the asked-for number of rows, in bounded memory.

`timestore ingest` derives each batch's idempotency key from its first row, so the same file must always yield the same
batches: rows in file order, every batch full except the last, and no column type that depends on the block it is in.
A file that turns out damaged half-way raises there; what was staged before is safe, and a second run skips it by key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from timestore_pipeline.errors import UnreadableInput
from timestore_pipeline.ingest import arrow_files, csv_file, ndjson_file

Opened = tuple[int | None, Callable[[], Iterator[pa.Table]]]
_OPENERS: dict[str, Callable[[Path], Opened]] = {
    ".parquet": arrow_files.open_parquet,
    ".pq": arrow_files.open_parquet,
    ".arrow": arrow_files.open_ipc,
    ".feather": arrow_files.open_ipc,
    ".ipc": arrow_files.open_ipc,
    ".arrows": arrow_files.open_ipc,
    ".csv": csv_file.open_csv,
    ".csv.gz": csv_file.open_csv,
    ".ndjson": ndjson_file.open_ndjson,
    ".ndjson.gz": ndjson_file.open_ndjson,
    ".jsonl": ndjson_file.open_ndjson,
    ".jsonl.gz": ndjson_file.open_ndjson,
    ".json": ndjson_file.open_ndjson,
    ".json.gz": ndjson_file.open_ndjson,
}
_DAMAGE = (pa.ArrowException, OSError, ValueError, RecursionError)  # the last: thousands of brackets in brackets


@dataclass(frozen=True)
class Source:
    """One readable file with at least one row, as far as that is known before reading."""

    path: Path
    total_rows: int | None  # None = the format does not say before the end
    _tables: Callable[[], Iterator[pa.Table]] = field(repr=False)
    may_be_empty: bool = False

    def with_columns(self, add: Callable[[pa.Table], pa.Table]) -> Source:
        """The same rows, each table passed through `add`."""
        return replace(self, _tables=lambda: map(add, self._tables()))

    def only(self, keep: Callable[[pa.Table], pa.Table]) -> Source:
        """Some of the rows: `keep` takes a table and returns those to keep; none at all is fine."""
        return replace(self, total_rows=None, _tables=lambda: map(keep, self._tables()), may_be_empty=True)

    def batches(self, rows: int) -> Iterator[tuple[int, pa.Table]]:
        """Yield `(first_row, table)`, each table of exactly `rows` rows except the last; `first_row` counts from 0.

        Raises `UnreadableInput` where the file turns out damaged, or when it ends without a row.
        """
        if rows < 1:
            raise ValueError(f"a batch needs at least one row, not {rows}")
        first = 0
        for table in _regrouped(_guarded(self.path, self._tables), rows):
            yield first, table
            first += table.num_rows
        if first == 0 and not self.may_be_empty:
            raise _no_rows(self.path)


def open_source(path: Path) -> Source:
    """Recognise `path` by its suffix and look into it; CSV and NDJSON are read once in full to settle column types.

    Raises `UnreadableInput` for an unknown suffix, a missing or empty file, and content that contradicts the suffix;
    `InvalidData` for an NDJSON column that holds different kinds of values.
    """
    opener = _OPENERS.get(_suffix(path))
    if opener is None:
        hint = f"convert it to one of {', '.join(_OPENERS)}"
        raise UnreadableInput(f"{path} has no suffix that says what is in it", hint=hint)
    try:
        if path.stat().st_size == 0:
            raise _no_rows(path)
        total_rows, tables = opener(path)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if total_rows == 0:
        raise _no_rows(path)
    return Source(path, total_rows, tables)


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def _guarded(path: Path, tables: Callable[[], Iterator[pa.Table]]) -> Iterator[pa.Table]:
    try:
        yield from tables()
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _regrouped(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= rows:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, rows)
            count -= rows
            waiting = [whole.slice(rows)]
    if count:
        yield pa.concat_tables(waiting)


def _no_rows(path: Path) -> UnreadableInput:
    return UnreadableInput(f"{path} has no rows", hint="leave the file out")


def _damaged(path: Path, error: Exception) -> UnreadableInput:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UnreadableInput(
        f"{path} cannot be read: {reason}", hint="check that the file is complete and its suffix right"
    )
