"""Where rows go, and where they came from: partitions, the SQL that finds one partition's rows, and names of files.

Every row belongs to exactly one partition: rows without a time, and rows whose time lies outside the years 1 to 9999
that a Delta partition value can spell, share the null partition. File names carry shard and epoch, so that a folder
listing shows the writer of every file, and a random part, so that no attempt ever overwrites another.

A compacted file holds rows of several flushes, of any shard, and its footer names these origins. The commits that
replaced the flushes' files are removed in time, with the log; the footer stays with the rows, is read by every shard,
and is merged into the next footer when the file is compacted again. So each flush can be traced into the table for as
long as the table lasts.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Self
from urllib.parse import quote, unquote

import pyarrow as pa

from timestore_pipeline.errors import Corrupted
from timestore_pipeline.model import sql_types
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.model.lake import PartitionKey

_FILE = re.compile(r"(part|compacted)-(.+)-(\d{10,})-[0-9a-f]{12}\.parquet")
_FLUSH, _COMPACTION = "part", "compacted"
NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
_FIRST, _BEYOND = "0001-01-01", "10000-01-01"  # DuckDB reads years beyond 9999, Python and Delta do not
_FIELDS = {
    "partition_date": pa.field("partition_date", pa.date32()),
    "partition_hour": pa.field("partition_hour", pa.timestamp("us", tz="UTC")),
}

FlushOrigin = tuple[str, int]  # shard and epoch


class TimeKind(StrEnum):
    """How a time column represents time, which decides how its literals are spelt."""

    DATE = "DATE"
    NAIVE = "TIMESTAMP"
    UTC = "TIMESTAMPTZ"

    @classmethod
    def of(cls, kind: pa.DataType) -> TimeKind | None:
        """The kind of an Arrow type; None = not a time."""
        if pa.types.is_date(kind):
            return cls.DATE
        if not pa.types.is_timestamp(kind):
            return None
        return cls.NAIVE if kind.tz is None else cls.UTC


def first_time_column(schema: pa.Schema) -> str | None:
    """The default time column: the first timestamp or date."""
    return next((field.name for field in schema if TimeKind.of(field.type) is not None), None)


@dataclass(frozen=True, slots=True)
class Partitioning:
    """How one dataset is partitioned; `time_kind` None = there is no time column, so the table is not partitioned."""

    granularity: Granularity
    time_column: str | None
    time_kind: TimeKind | None

    @classmethod
    def of(cls, schema: pa.Schema, granularity: Granularity, time_column: str | None = None) -> Partitioning:
        """The partitioning of rows with `schema`; none when the time column is missing or has no time type."""
        name = time_column if time_column is not None else first_time_column(schema)
        kind = TimeKind.of(schema.field(name).type) if name in schema.names else None
        return cls(granularity, name, kind)

    @property
    def column(self) -> str | None:
        """Name of the Delta partition column; None = not partitioned."""
        if self.time_kind is None or self.granularity is Granularity.NONE:
            return None
        return "partition_hour" if self.granularity is Granularity.HOUR else "partition_date"

    @property
    def field(self) -> pa.Field | None:
        """The partition column as it stands in the table's schema; it is never in the Parquet files."""
        return None if self.column is None else _FIELDS[self.column]

    def value_sql(self, time: str | None = None) -> str:
        """DuckDB expression for a partition: a DATE, a TIMESTAMP (UTC) for `hour`, or NULL. Feed its values to `key`.

        time: an expression for the time, None = a row's own. A later time never has an earlier partition.
        """
        if self.column is None:
            return "NULL"
        time = time or sql_types.quote(self.time_column or "")
        # Not AT TIME ZONE, which asks ICU for every row and takes six times as long.
        is_utc = self.time_kind is TimeKind.UTC
        instant = f"make_timestamp(epoch_us({time}))" if is_utc else f"CAST({time} AS TIMESTAMP)"
        kind = "TIMESTAMP" if self.granularity is Granularity.HOUR else "DATE"
        start = f"CAST(date_trunc('{self.granularity}', {instant}) AS {kind})"
        return f"CASE WHEN {self._between(_FIRST, _BEYOND, time)} THEN {start} END"

    def key(self, value: date | None) -> PartitionKey:
        """The partition for one value of `value_sql`."""
        if value is None or self.column is None:
            return PartitionKey(self.column, None)
        return PartitionKey(self.column, value.isoformat(" ") if isinstance(value, datetime) else value.isoformat())

    def predicate(self, key: PartitionKey) -> str:
        """DuckDB condition that holds for exactly the rows of `key`: a plain range, so that zone maps prune."""
        if key.column is None:
            return "TRUE"
        if key.value is None:
            column = sql_types.quote(self.time_column or "")
            return f"({column} IS NULL OR NOT ({self._between(_FIRST, _BEYOND)}))"
        return self._between(start(key).isoformat(" "), self._end(start(key)))

    def range_predicate(self, first: PartitionKey, last: PartitionKey) -> str:
        """The condition for two partitions and all between them; neither may be the null partition."""
        return self._between(start(first).isoformat(" "), self._end(start(last)))

    def _between(self, start: str, end: str, time: str | None = None) -> str:
        time = time or sql_types.quote(self.time_column or "")
        return f"{time} >= {self._literal(start)} AND {time} < {self._literal(end)}"

    def _literal(self, instant: str) -> str:
        if self.time_kind is TimeKind.DATE:
            return f"DATE '{instant.split(' ')[0]}'"
        # An explicit offset, because DuckDB reads a bare literal in the session's time zone.
        zone = "+00" if self.time_kind is TimeKind.UTC else ""
        return f"{self.time_kind} '{instant if ' ' in instant else instant + ' 00:00:00'}{zone}'"

    def _end(self, start: datetime) -> str:
        """Exclusive end. A date counts as its midnight, so in an hourly table it fills the whole of its day."""
        whole_day = self.granularity is Granularity.DAY or self.time_kind is TimeKind.DATE
        try:
            if self.granularity is Granularity.MONTH:
                end = (start + timedelta(days=31)).replace(day=1)
            else:
                end = start + (timedelta(days=1) if whole_day else timedelta(hours=1))
        except OverflowError:
            return _BEYOND
        return end.isoformat(" ")


def start(key: PartitionKey) -> datetime:
    """The first instant of a partition, UTC without a zone; not for the null partition."""
    assert key.value is not None, "the null partition has no start"
    return datetime.fromisoformat(key.value)


def folder(key: PartitionKey) -> str:
    """Hive-style folder of a partition with a trailing slash; empty for an unpartitioned table."""
    if key.column is None:
        return ""
    return f"{key.column}={NULL_FOLDER if key.value is None else quote(key.value, safe='')}/"


def written_by(path: str) -> tuple[str, int] | None:
    """Shard and epoch of the flush that wrote a file; None = no flush did."""
    return _origin(path, _FLUSH)


def compacted_by(path: str) -> tuple[str, int] | None:
    """Shard and generation of the compaction that wrote a file; None = none of this product did."""
    return _origin(path, _COMPACTION)


def is_ours(path: str) -> bool:
    """Whether a flush or a compaction wrote the file."""
    return _FILE.fullmatch(path.rpartition("/")[2]) is not None


def file_name(key: PartitionKey, shard: str, epoch: int) -> str:
    """A fresh path for one exported file, relative to the table's root."""
    return _fresh(key, _FLUSH, shard, epoch)


def compacted_name(key: PartitionKey, shard: str, generation: int) -> str:
    """A fresh path for a file that replaces several."""
    return _fresh(key, _COMPACTION, shard, generation)


def _origin(path: str, kind: str) -> tuple[str, int] | None:
    match = _FILE.fullmatch(path.rpartition("/")[2])
    return None if match is None or match[1] != kind else (unquote(match[2]), int(match[3]))


def _fresh(key: PartitionKey, kind: str, shard: str, number: int) -> str:
    return f"{folder(key)}{kind}-{quote(shard, safe='')}-{number:010d}-{uuid.uuid4().hex[:12]}.parquet"


@dataclass(frozen=True, slots=True)
class Origins:
    """Rows by flush."""

    rows: Mapping[FlushOrigin, int]

    @classmethod
    def of_flush_file(cls, path: str, rows: int) -> Self:
        """Origins of a file that names its flush; none for any other file."""
        origin = written_by(path)
        return cls({} if origin is None else {origin: rows})

    @classmethod
    def merged(cls, parts: Iterable[Origins]) -> Self:
        total: dict[FlushOrigin, int] = {}
        for part in parts:
            for origin, rows in part.rows.items():
                total[origin] = total.get(origin, 0) + rows
        return cls(total)

    @classmethod
    def from_note(cls, note: str, path: str) -> Self:
        """Read back from a footer; raise `Corrupted` when the text is not `to_note`'s."""
        try:
            shards = json.loads(note)["origins"]
            return cls({(shard, int(epoch)): int(n) for shard, flushes in shards.items() for epoch, n in flushes})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            hint = "nothing was changed; restore the file from a backup"
            raise Corrupted(f"the footer of {path} does not name the flushes of its rows", hint=hint) from error

    def to_note(self) -> str:
        """For the footer: shard -> [[epoch, rows], ...], epochs ascending."""
        shards: dict[str, list[list[int]]] = {}
        for (shard, epoch), rows in sorted(self.rows.items()):
            shards.setdefault(shard, []).append([epoch, rows])
        return json.dumps({"origins": shards}, separators=(",", ":"))

    def of_shard(self, shard: str) -> Iterator[tuple[int, int]]:
        """(epoch, rows) of one shard's flushes."""
        return ((epoch, rows) for (found, epoch), rows in self.rows.items() if found == shard)

    def checked(self, path: str, rows: int) -> Self:
        """Itself; raise `Corrupted` when it does not account for all rows of the file."""
        if (traced := sum(self.rows.values())) != rows:
            hint = "nothing was changed; keep the file and run `timestore verify --deep`"
            raise Corrupted(f"{path} has {rows} rows, and its footer names the flushes of {traced}", hint=hint)
        return self
