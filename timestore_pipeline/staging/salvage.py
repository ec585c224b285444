"""A damaged segment: which batches can still be read, and a copy of those.

What an error message says is not believed: every batch that the file owes is read, all columns of it. DuckDB keeps a
checksum of each block, so what it reads is what was written. The damaged file is only ever opened for reading. A copy
is made under a temporary name and renamed when it is durable and proven equal; a crash before that leaves a file from
which nothing is promised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from timestore_pipeline.errors import DiskFailing, UnreadableSegment
from timestore_pipeline.model.batch import StagedBatch
from timestore_pipeline.model.sql_types import literal
from timestore_pipeline.staging.engine import open_engine
from timestore_pipeline.staging.group_rows import BATCH_COLUMN, COMMIT_COLUMN, NO_BATCH, description
from timestore_pipeline.staging.segments import BLOCK_SIZE, attach_sealed, building, remove, translated
from timestore_pipeline.system.durable import keep_private, make_folder, sync

# Of one examination. A hundred thousand lost batches one by one would take half an hour; what is not resolved by then
# counts as unreadable. An operator has to examine it, and no data is lost: the file is kept.
_MOST_PROBES = 500

Fingerprints = dict[int, tuple[int, int]]  # sequence -> rows, and a hash over all their values


@dataclass(slots=True)
class Examination:
    """`whole` + `lost` = what the segment owes."""

    whole: Fingerprints = field(default_factory=dict)
    ranges: list[list[int]] = field(default_factory=list)  # sequences of `whole`, as they could be read together
    lost: list[int] = field(default_factory=list)
    error: str = ""  # the first one that was met
    failing: DiskFailing | None = None  # the first time the system itself could not read

    def fail(self, sequences: Sequence[int], error: str) -> None:
        self.lost += sequences
        self.error = self.error or error


def examine(path: Path, dataset: str, segment_id: str, owed: Mapping[int, int]) -> Examination:
    """Read every batch that the segment owes (sequence -> rows).

    Raises `RetryLater` and `AccessDenied`, which say nothing about the file; damage is what the examination returns. A
    disk that gives none of it is down, for all we know; one that gives the rest has lost a part of it.
    """
    found = _look(path, dataset, segment_id, owed)
    if found.failing is not None and not found.whole:
        raise found.failing
    if not found.error:
        return found
    return _look_again(path, dataset, segment_id, owed, found)


def copy_whole(source: Path, target: Path, dataset: str, found: Examination, batches: Sequence[StagedBatch]) -> None:
    """Make a sealed segment at `target` that holds the batches in `found.whole`, at their old positions.

    batches: the same ones, as the ledger knows them. Raises `UnreadableSegment` when the copy cannot be made equal,
    `DiskFull`, `RetryLater`; then there is no file.
    """
    temporary = building(target)
    try:
        with open_engine() as connection, translated(target, dataset):
            make_folder(target.parent, private=True)
            attach_sealed(connection, source, "damaged", dataset)
            connection.execute(f"ATTACH {literal(str(temporary))} AS salvaged (BLOCK_SIZE {BLOCK_SIZE})")
            keep_private(temporary)
            _copy(connection, target.stem, found.ranges, description(batches))
            connection.execute("DETACH salvaged")
        _check_equal(temporary, dataset, found)
        temporary.rename(target)
        sync(target.parent)
    except BaseException:
        remove(target)
        raise


def _look(path: Path, dataset: str, segment_id: str, owed: Mapping[int, int]) -> Examination:
    found = Examination()
    reader = _Reader(path, dataset)
    try:
        reader.check_identity(segment_id)
        _examine_ranges(reader, owed, found)
    except UnreadableSegment as error:
        found.fail(sorted(owed.keys() - found.whole.keys() - set(found.lost)), str(error))
    finally:
        reader.close()
    return found


def _look_again(path: Path, dataset: str, segment_id: str, owed: Mapping[int, int], first: Examination) -> Examination:
    """What could not be read once may be read now; only what fails twice is lost."""
    second = _look(path, dataset, segment_id, {sequence: owed[sequence] for sequence in first.lost})
    error = (second.error or first.error) if second.lost or not owed else ""
    return Examination(first.whole | second.whole, [*first.ranges, *second.ranges], second.lost, error)


class _Reader:
    """A fresh instance after every failure: a damaged block can spoil the one that met it."""

    def __init__(self, path: Path, dataset: str) -> None:
        self._path = path
        self._dataset = dataset
        self._connection: duckdb.DuckDBPyConnection | None = None

    def check_identity(self, segment_id: str) -> None:
        rows = self._query("SELECT segment_id, dataset FROM looked_at.segment")
        if rows != [(segment_id, self._dataset)]:
            hint = "put the right file in its place"
            raise UnreadableSegment(f"{self._path} calls itself {rows}", dataset=self._dataset, hint=hint)

    def read(self, first: int, last: int) -> Fingerprints:
        """The batches from the first to the last position, every value of theirs touched."""
        rows = self._query(
            f"SELECT {BATCH_COLUMN}, count(*), bit_xor(hash(whole_row)) FROM looked_at.rows AS whole_row"
            f" WHERE {BATCH_COLUMN} BETWEEN {first} AND {last} GROUP BY ALL"
        )
        return {sequence: (count, fingerprint) for sequence, count, fingerprint in rows}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _query(self, sql: str) -> list[Any]:
        try:
            with translated(self._path, self._dataset):
                return list(self._open().execute(sql).fetchall())
        except BaseException:
            self.close()
            raise

    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = open_engine()
            attach_sealed(self._connection, self._path, "looked_at", self._dataset)
        return self._connection


def _examine_ranges(reader: _Reader, owed: Mapping[int, int], found: Examination) -> None:
    """Bisect: what cannot be read together is read in halves."""
    probes, waiting = 0, [sorted(owed)] if owed else []
    while waiting:
        some = waiting.pop()
        probes += 1
        try:
            read = reader.read(some[0], some[-1])
        except (UnreadableSegment, DiskFailing) as error:
            if isinstance(error, DiskFailing):
                found.failing = found.failing or error
            if len(some) == 1 or probes >= _MOST_PROBES:
                found.fail(some, str(error))
            else:
                waiting += [some[len(some) // 2 :], some[: len(some) // 2]]
        else:
            _sort_out(some, read, owed, found)


def _sort_out(some: Sequence[int], read: Fingerprints, owed: Mapping[int, int], found: Examination) -> None:
    rows = {sequence: read.get(sequence, (0, 0)) for sequence in some}
    whole = [sequence for sequence in some if rows[sequence][0] == owed[sequence]]
    if whole:
        found.whole |= {sequence: rows[sequence] for sequence in whole}
        found.ranges.append(whole)
    for sequence in some:
        if rows[sequence][0] != owed[sequence]:
            message = (
                f"batch {sequence} was acknowledged with {owed[sequence]} rows, its segment holds {rows[sequence][0]}"
            )
            found.fail([sequence], message)


def _copy(
    connection: duckdb.DuckDBPyConnection, segment_id: str, ranges: Sequence[Sequence[int]], described: str
) -> None:
    connection.execute("CREATE TABLE salvaged.rows AS SELECT * FROM damaged.rows LIMIT 0")
    connection.execute(
        f"CREATE TABLE salvaged.segment AS SELECT * REPLACE ({literal(segment_id)} AS segment_id) FROM damaged.segment"
    )
    for some in ranges:  # one by one, since a wider range would touch what cannot be read
        connection.execute(
            f"INSERT INTO salvaged.rows SELECT * FROM damaged.rows WHERE {BATCH_COLUMN} BETWEEN {some[0]}"
            f" AND {some[-1]} AND {BATCH_COLUMN} IN (SELECT unnest(?::INTEGER[]))",
            [list(some)],
        )
    connection.execute(
        f"INSERT INTO salvaged.rows ({BATCH_COLUMN}, {COMMIT_COLUMN}) VALUES ({NO_BATCH}, ?)", [described]
    )


def _check_equal(path: Path, dataset: str, found: Examination) -> None:
    reader = _Reader(path, dataset)
    try:
        copied = reader.read(min(found.whole), max(found.whole))
    finally:
        reader.close()
    if copied != {sequence: prints for sequence, prints in found.whole.items() if prints[0]}:
        raise UnreadableSegment(f"the copy {path} differs from its original", dataset=dataset, hint="report this")
