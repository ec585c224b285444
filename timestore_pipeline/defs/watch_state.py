"""The state that `dataset_watch_sensor` keeps between two ticks, and the observations that follow from it. Pure.

The state is small: Dagster stores it with every tick. Queue depth, age and disk use of the datasets are observed on
change and at a limited rate.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Self

import dagster as dg

from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.model.flush import Backlog
from timestore_pipeline.system import clock

OBSERVE_EVERY = timedelta(minutes=1)  # at most, per dataset: these events are never purged
MOST_REMEMBERED = 200  # datasets with an observation; more than that at a time are for the metrics
MOST_OBSERVED = 10  # datasets per tick; an observation is 2 kB in Dagster's storage, for ever


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


def observations(
    backlogs: Sequence[Backlog], before: Mapping[str, Observed], now: datetime, shard: str
) -> tuple[list[dg.AssetObservation], dict[str, Observed]]:
    """The observations to record now, longest unobserved first, and the state to keep for the next tick."""
    due = [backlog for backlog in backlogs if _is_due(backlog, before.get(backlog.dataset), now)]
    due.sort(key=lambda backlog: before[backlog.dataset].at if backlog.dataset in before else 0)
    after, events = dict(before), list[dg.AssetObservation]()
    for backlog in due[:MOST_OBSERVED]:
        seen = Observed.of(backlog, now)
        if seen.at_rest:
            after.pop(backlog.dataset, None)
        elif backlog.dataset in after or len(after) < MOST_REMEMBERED:
            after[backlog.dataset] = seen
        else:
            continue
        events.append(_observation(backlog, now, shard))
    known = {backlog.dataset for backlog in backlogs}
    return events, {dataset: seen for dataset, seen in after.items() if dataset in known}


def _is_due(backlog: Backlog, last: Observed | None, now: datetime) -> bool:
    seen = Observed.of(backlog, now)
    if last is None:
        return not seen.at_rest
    return last.differs(seen) and clock.from_micros(last.at) + OBSERVE_EVERY <= now


def _observation(backlog: Backlog, now: datetime, shard: str) -> dg.AssetObservation:
    return dg.AssetObservation(
        asset_key(backlog.dataset),
        description=f"{backlog.queued.rows} rows in {backlog.queued.batches} batches are staged",
        metadata={
            "shard": shard,
            "staged_rows": backlog.queued.rows,
            "staged_batches": backlog.queued.batches,
            "staged_bytes": backlog.queued.bytes,
            "in_flight_rows": backlog.in_flight.rows,
            "quarantined_rows": backlog.quarantined.rows,
            "oldest_age_seconds": backlog.oldest_age(now).total_seconds(),
            "staging_disk_bytes": backlog.disk_bytes,
        },
    )
