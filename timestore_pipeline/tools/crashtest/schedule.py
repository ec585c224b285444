"""The processes of a crash test, and when each is killed: everything that follows from its seed alone.

The seed determines the victims, the instants and the batches, but not what the system does at such an instant.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.settings import Settings

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
            strike = _strike(source, left)
            left -= len(strike.victims)
            yield strike


def _strike(source: random.Random, left: int) -> Strike:
    delay = min(source.expovariate(1 / 0.1), 0.5)
    dwell = source.choice((0.0, source.expovariate(1 / 0.004)))
    return Strike(delay, _victims(source)[:left], source.random() < 0.6, source.random(), dwell)


def _victims(source: random.Random) -> list[int]:
    """Mostly one process; sometimes a few at once; sometimes all of them, as when the host is lost."""
    kind = source.random()
    if kind < 0.04:
        return source.sample(range(len(ROSTER)), len(ROSTER))
    if kind < 0.15:
        return source.sample(range(len(ROSTER)), source.randint(2, 4))
    return source.choices(range(len(ROSTER)), [_WEIGHTS[role] for role in ROSTER])
