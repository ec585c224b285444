"""The processes of a crash test, their batches, and when each is killed: everything that follows from its seed alone.

The seed determines the victims, the instants and the batches, but not what the system does at such an instant.

The same seed, producer and number always make the same batch. Every row carries its producer, batch and position, how
many rows its batch has, and a checksum of all its values. So the table alone shows whether a batch is there once,
twice, half or altered.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa

from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock

DATASETS = {"audit-log": Granularity.NONE, "sensors": Granularity.HOUR, "trades": Granularity.DAY}


class Role(StrEnum):
    """The task of a process of the test."""

    PRODUCER = "producer"
    FLUSHER = "flusher"
    RECOVERY = "recovery"
    READER = "reader"
    EVOLVER = "evolver"  # a producer whose schema keeps growing
    MAINTAINER = "maintainer"


# One process each; a process is known by its position. Producers of even position wait for every receipt, the others
# keep a window of them open.
ROSTER: tuple[Role, ...] = (
    Role.PRODUCER, Role.PRODUCER, Role.PRODUCER, Role.PRODUCER, Role.FLUSHER, Role.FLUSHER, Role.RECOVERY, Role.READER,
    Role.EVOLVER, Role.MAINTAINER,
)  # fmt: skip

SENDERS = (Role.PRODUCER, Role.EVOLVER)  # they keep journals

_WEIGHTS = {
    Role.PRODUCER: 5,
    Role.EVOLVER: 3,
    Role.FLUSHER: 4,
    Role.RECOVERY: 4,
    Role.READER: 1,
    Role.MAINTAINER: 3,
}  # of each process's chance to be killed


@dataclass(frozen=True, slots=True)
class Strike:
    """Processes to kill at once, after `delay` seconds.

    aimed: first wait, for a moment at most, until the first victim is in a chosen phase, and then `dwell` seconds more;
    `choice` in [0, 1) selects one of the phases of its role.
    """

    delay: float
    victims: Sequence[int]
    aimed: bool
    choice: float
    dwell: float

    @property
    def takes_the_host(self) -> bool:
        return len(self.victims) == len(ROSTER)


@dataclass(frozen=True, slots=True)
class CrashPlan:
    """One crash test. `sabotage` names a fault to build into its processes, None = the product as it is."""

    home: Path
    kills: int
    seed: int
    sabotage: str | None = None

    @property
    def journals(self) -> Path:
        return self.home / "journals"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    def settings(self) -> Settings:
        """Settings of every process. None comes from the environment: a test must never use a production lake."""
        defaults = {name: field.default for name, field in Settings.model_fields.items()}
        chosen: dict[str, Any] = {
            "home": self.home,
            "staging_directory": self.home / "staging",
            "lake_uri": str(self.home / "lake"),
            "shard": "crashtest",
            "staging_segment_max_bytes": 200_000,  # segments fill up now and then
        }
        return Settings.build(**defaults | chosen)

    def strikes(self) -> Iterator[Strike]:
        """Enough strikes for `kills` kills."""
        source = random.Random(f"strikes/{self.seed}")
        left = self.kills
        while left > 0:
            delay = min(source.expovariate(1 / 0.1), 0.5)
            dwell = source.choice((0.0, source.expovariate(1 / 0.004)))
            strike = Strike(delay, _victims(source)[:left], source.random() < 0.6, source.random(), dwell)
            left -= len(strike.victims)
            yield strike


def _victims(source: random.Random) -> list[int]:
    """Mostly one process; sometimes a few at once; sometimes all of them, as when the host is lost."""
    kind = source.random()
    if kind < 0.04:
        return source.sample(range(len(ROSTER)), len(ROSTER))
    if kind < 0.15:
        return source.sample(range(len(ROSTER)), source.randint(2, 4))
    return source.choices(range(len(ROSTER)), [_WEIGHTS[role] for role in ROSTER])


_START = datetime(2026, 3, 10, 12, tzinfo=UTC)
_LATE = (0, 0, 0, 0, 1, 1, 2, 26, 75)  # hours before: mostly fresh, some for partitions written long ago
_BASE = {
    "producer": pa.int64(), "batch": pa.int64(), "row": pa.int64(), "of": pa.int64(),
    "at": pa.timestamp("us", "UTC"), "name": pa.string(), "value": pa.float64(),
}  # fmt: skip
_LATER: dict[str, tuple[pa.DataType, Callable[[random.Random], Any]]] = {  # columns the schema grows by, in this order
    "extra_1": (pa.int64(), lambda source: source.randrange(10**12)),
    "extra_2": (pa.string(), lambda source: f"x{source.randrange(1000)}"),
    "extra_3": (pa.bool_(), lambda source: source.random() < 0.5),
    "extra_4": (pa.float64(), lambda source: source.randrange(4000) / 4),
}
_EVERY = 40  # batches of one producer until its schema grows
_EVOLVED = re.compile(r"evolved_(\d+)")  # columns of an evolver: new ones without end, but more and more rarely

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ProvableBatch:
    """`key` None = sent without an idempotency key, so never twice. `digest`: of the rows' checksums, in order."""

    producer: int
    number: int
    dataset: str
    key: str | None
    rows: int
    digest: str
    table: pa.Table


def make_batch(seed: int, producer: int, number: int) -> ProvableBatch:
    source = random.Random(f"batch/{seed}/{producer}/{number}")
    dataset = source.choice(list(DATASETS))
    key = f"{producer}/{number}" if source.random() < 0.9 else None
    rows = list(_rows(source, producer, number))
    checksums = [_checksum(row) for row in rows]
    types = _BASE | {name: _column(name)[0] for name in rows[0] if name not in _BASE}
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()}
    table = pa.table({**columns, "checksum": pa.array(checksums, pa.string())})
    return ProvableBatch(producer, number, dataset, key, len(rows), digest(checksums), table)


def digest(checksums: Sequence[str]) -> str:
    return hashlib.md5("".join(checksums).encode(), usedforsecurity=False).hexdigest()


def checksum_sql(columns: Sequence[str]) -> str:
    """SQL expression that must equal a row's `checksum`; `columns`: those that the table has already."""
    grown = [*(name for name in _LATER if name in columns), *filter(_EVOLVED.fullmatch, columns)]
    later = [f"'{name}=' || {name}" for name in grown]
    parts = ["'at=' || epoch_us(\"at\")", "'name=' || name", "'value=' || value", *later]
    return f'md5(concat_ws(\'|\', producer, batch, "row", "of", {", ".join(parts)}))'


def _rows(source: random.Random, producer: int, number: int) -> list[dict[str, Any]]:
    count = _size(source)
    later = _later_columns(source, producer, number)
    hours = source.choices(_LATE, k=source.randint(1, 3))
    first = {"producer": producer, "batch": number, "of": count}
    return [first | {"row": row} | _values(source, row, hours) | _extras(source, later) for row in range(count)]


def _size(source: random.Random) -> int:
    return source.choices((source.randint(1, 10), source.randint(10, 100), source.randint(100, 1500)), (70, 25, 5))[0]


def _later_columns(source: random.Random, producer: int, number: int) -> list[str]:
    if ROSTER[producer] is Role.EVOLVER:
        return [f"evolved_{math.isqrt(number)}"]
    return list(_LATER)[: _schema_level(source, number)]


def _schema_level(source: random.Random, number: int) -> int:
    """The level grows with time; one batch in five still has an older one."""
    level = min(number // _EVERY, len(_LATER))
    return source.randint(0, level) if source.random() < 0.2 else level


def _values(source: random.Random, row: int, hours: Sequence[int]) -> dict[str, Any]:
    at = _START - timedelta(hours=hours[row % len(hours)]) + timedelta(microseconds=source.randrange(3_600_000_000))
    timeless = source.random() < 0.005  # such rows go to the null partition
    value = source.randrange(100_000) / 4  # a binary fraction: Python and DuckDB write it alike
    return {"at": None if timeless else at, "name": f"näme {source.randrange(50)}", "value": value}


def _extras(source: random.Random, later: Sequence[str]) -> dict[str, Any]:
    return {name: None if source.random() < 0.1 else _column(name)[1](source) for name in later}


def _column(name: str) -> tuple[pa.DataType, Callable[[random.Random], Any]]:
    evolved = _EVOLVED.fullmatch(name)
    return _LATER[name] if evolved is None else list(_LATER.values())[int(evolved[1]) % len(_LATER)]


def _checksum(row: Row) -> str:
    """A null is left out, as `concat_ws` does, so a column added later changes nothing."""
    at = None if row["at"] is None else clock.to_micros(row["at"])
    named = {"at": at, "name": row["name"], "value": row["value"], **{k: v for k, v in row.items() if k not in _BASE}}
    parts = [f"{name}={_text(value)}" for name, value in named.items() if value is not None]
    text = "|".join([*(str(row[name]) for name in ("producer", "batch", "row", "of")), *parts])
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
