"""Files as tables of exactly the asked-for number of rows, in bounded memory.

`timestore ingest` derives each batch's idempotency key from its first row, so the same file must always yield the same
batches: rows in file order, every batch full except the last, and no column type that depends on the block it is in.
A file that turns out damaged half-way raises there; what was staged before is safe, and a second run skips it by key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from timestore_pipeline.errors import InvalidData, UnreadableInput
from timestore_pipeline.ingest.formats import arrow_files
from timestore_pipeline.ingest.formats.csv_file import CsvFile
from timestore_pipeline.ingest.formats.expansion import plain_bytes
from timestore_pipeline.ingest.formats.json_file import JsonFile
from timestore_pipeline.ingest.formats.reading import UNKNOWN, Reading
from timestore_pipeline.ingest.values.flatbuffer import wide_columns
from timestore_pipeline.ingest.values.notes import Note, explaining
from timestore_pipeline.model.refusals import WHOLE_FILE, refused_type

Tables = Callable[[], Iterator[pa.Table]]
Opened = tuple[int | None, Tables, tuple[Note, ...]]


def _parquet(path: Path, _: Reading, __: bool) -> Opened:
    return *arrow_files.open_parquet(path), ()


def _ipc(path: Path, _: Reading, __: bool) -> Opened:
    return *arrow_files.open_ipc(path), ()


def _csv(path: Path, reading: Reading, keep: bool) -> Opened:
    file = CsvFile(path, reading, keep=keep)
    return file.rows, file.tables, file.notes


def _json(path: Path, reading: Reading, _: bool) -> Opened:
    file = JsonFile(path, reading)
    return file.rows, file.tables, tuple(file.notes)


_OPENERS: dict[str, Callable[[Path, Reading, bool], Opened]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".arrow": _ipc,
    ".feather": _ipc,
    ".ipc": _ipc,
    ".arrows": _ipc,
    ".csv": _csv,
    ".csv.gz": _csv,
    ".ndjson": _json,
    ".ndjson.gz": _json,
    ".jsonl": _json,
    ".jsonl.gz": _json,
    ".json": _json,
    ".json.gz": _json,
}
_DECODED_BYTES = 32 << 20  # of one batch; also part of its key, since another cut gives other first rows
_CAST_WIDE = "cast integers of 128 bits to Decimal(38, 0), or to text, before they are written"
_DAMAGE = (pa.ArrowException, OSError, ValueError, RecursionError)  # the last: thousands of brackets in brackets


@dataclass(frozen=True)
class Source:
    """One readable file. `notes`: what was decided about it that its producer may not expect."""

    path: Path
    total_rows: int | None  # None = the format does not say before the end
    _tables: Tables = field(repr=False)
    notes: tuple[Note, ...] = ()

    def with_columns(self, add: Callable[[pa.Table], pa.Table]) -> Source:
        """The same rows, each table passed through `add`."""
        return replace(self, _tables=lambda: map(add, self._tables()))

    def only(self, keep: Callable[[pa.Table], pa.Table]) -> Source:
        """Some of the rows: `keep` takes a table and returns those to keep."""
        return replace(self, total_rows=None, _tables=lambda: map(keep, self._tables()))

    def batches(self, rows: int) -> Iterator[tuple[int, pa.Table]]:
        """Yield `(first_row, table)`, each table of exactly `rows` rows except the last; `first_row` counts from 0.

        What takes more than 32 MiB once every encoding in it is undone is cut into several, the same ones each time.

        A file without rows yields one table that has none. Raises `UnreadableInput` where the file turns out damaged.
        """
        if rows < 1:
            raise ValueError(f"a batch needs at least one row, not {rows}")
        first = 0
        for group in _regrouped(_guarded(self.path, self._tables), rows):
            for table in _cut(group):
                yield first, table
                first += table.num_rows

    def explaining(self, first_row: int) -> AbstractContextManager[None]:
        """Errors raised inside about a batch name the file's row, and the line that gave a column its type."""
        return explaining(self.path, self.notes, first_row)


def open_source(path: Path, reading: Reading = UNKNOWN, *, keep: bool = True) -> Source:
    """Recognise `path` by its suffix and look into it; CSV and JSON are read once in full to settle column types.

    keep: what was read of a CSV of up to 16 MiB may stay in memory, so that it is not read again for its rows. False
    for one of many files that are opened at once.

    Raises `UnreadableInput` for an unknown suffix, a missing file or one of zero bytes (it may be unfinished), and
    content that contradicts the suffix; `InvalidData` for text that can be read and not be kept.
    """
    opener = _OPENERS.get(_suffix(path))
    if opener is None:
        hint = f"convert it to one of {', '.join(_OPENERS)}"
        raise UnreadableInput(f"{path} has no suffix that says what is in it", hint=hint)
    try:
        if path.stat().st_size == 0:
            raise _empty(path)
        total_rows, tables, notes = opener(path, reading, keep)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return Source(path, total_rows, tables, notes)


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def _guarded(path: Path, tables: Callable[[], Iterator[pa.Table]]) -> Iterator[pa.Table]:
    try:
        yield from tables()
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _regrouped(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    count, passed = 0, False
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= rows:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, rows)
            passed = True
            count -= rows
            waiting = [whole.slice(rows)]
    if count or (waiting and not passed):
        yield pa.concat_tables(waiting)


def _cut(table: pa.Table) -> list[pa.Table]:
    """In pieces of about as many bytes as may be decoded at once."""
    pieces = min(table.num_rows, -(-plain_bytes(table) // _DECODED_BYTES)) or 1
    if pieces == 1:
        return [table]
    edges = [table.num_rows * number // pieces for number in range(pieces + 1)]
    return [table.slice(first, last - first) for first, last in pairwise(edges)]


def _empty(path: Path) -> UnreadableInput:
    hint = "wait until it is written, or leave it out; a header line alone is a file without rows"
    return UnreadableInput(f"{path} has no rows: it is empty, zero bytes", hint=hint)


def _damaged(path: Path, error: Exception) -> UnreadableInput | InvalidData:
    if isinstance(error, FileNotFoundError):
        return UnreadableInput(
            f"{path} does not exist", hint="check the path; a relative one starts in the working folder"
        )
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    is_wide = "more than 64 bits" in reason
    if is_wide and (wide := wide_columns(path)):
        return refused_type(wide[0], "Int128", _CAST_WIDE, f"which Arrow cannot read from {path}")
    return UnreadableInput(f"{path} cannot be read: {reason}", hint=_CAST_WIDE if is_wide else WHOLE_FILE)
