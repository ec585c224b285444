"""The state that `dataset_watch_sensor` keeps between two ticks. It is small: Dagster stores it with every tick."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Self

from timestore_pipeline.model.flush import Backlog
from timestore_pipeline.system import clock

OBSERVE_EVERY = timedelta(minutes=1)  # at most, per dataset: these events are never purged
MOST_REMEMBERED = 200  # datasets with an observation; more than that at a time are for the metrics


@dataclass(frozen=True, slots=True)
class Observed:
    """The last observation of a dataset that was not at rest."""

    at: int  # microseconds since the Unix epoch
    rows: int
    bytes: int
    disk: int
    quarantined: int

    @classmethod
    def of(cls, backlog: Backlog, now: datetime) -> Self:
        queued = backlog.queued
        return cls(clock.to_micros(now), queued.rows, queued.bytes, backlog.disk_bytes, backlog.quarantined.rows)

    @property
    def amounts(self) -> tuple[int, int, int, int]:
        return self.rows, self.bytes, self.disk, self.quarantined

    @property
    def at_rest(self) -> bool:
        """Nothing is queued; segments that wait to be unlinked and quarantined rows do not move by themselves."""
        return self.rows == 0

    def differs(self, later: Self) -> bool:
        """Something came, went, doubled or halved."""
        return any(_leaps(old, new) for old, new in zip(self.amounts, later.amounts, strict=True))


@dataclass(frozen=True, slots=True)
class WatchState:
    """The sensor's cursor."""

    after: str = ""  # the dataset that was checked last in the round
    failing: tuple[str, ...] = ()  # checked again at every tick, so that a recovery shows at once
    observed: Mapping[str, Observed] = field(default_factory=dict)
    asked_at: int = 0  # when a reload was asked for, microseconds since the Unix epoch; 0 = never
    asked_for: int = 0  # how many datasets were new then

    @classmethod
    def parse(cls, cursor: str | None) -> Self:
        """A cursor of another release, or one edited by hand, counts as none."""
        try:
            document = json.loads(cursor or "{}")
            observed = {name: Observed(*values) for name, values in document.pop("observed", {}).items()}
            return cls(**{**document, "failing": tuple(document.get("failing", ()))}, observed=observed)
        except (ValueError, TypeError, AttributeError):
            return cls()

    def to_cursor(self) -> str:
        observed = {name: [seen.at, *seen.amounts] for name, seen in self.observed.items()}
        return json.dumps({**asdict(self), "observed": observed}, separators=(",", ":"))


def _leaps(old: int, new: int) -> bool:
    return max(old, new) >= 2 * min(old, new) if old != new else False
