"""A tick of `dataset_watch_sensor`: the state that it keeps until the next one, what it observes, and what it checks.

The state is small: Dagster stores it with every tick. Queue depth, age and disk use of the datasets are observed on
change and at a limited rate.

Every dataset is checked in its turn, failing ones first. A tick reads every status, which is one ledger query, and
counts the batches of a bounded number of datasets. An event is stored for a changed verdict, and once a day for an
unchanged one, so that its page does not look abandoned. Flushes store none: six events would cost each flush more than
everything else that Dagster does about it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

import dagster as dg

from timestore_pipeline.defs.checks import Verdict, at_a_glance, books
from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.defs.shard_verdicts import SharedVerdict, failures_in
from timestore_pipeline.flush.dataset_status import DatasetStatus
from timestore_pipeline.model.flush import Backlog
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

OBSERVE_EVERY = timedelta(minutes=1)  # at most, per dataset: these events are never purged
MOST_REMEMBERED = 200  # datasets with an observation; more than that at a time are for the metrics
MOST_OBSERVED = 10  # datasets per tick; an observation is 2 kB in Dagster's storage, for ever

PER_ROUND = 50  # datasets whose turn it is at one tick: a thousand take twenty ticks, ten minutes
MOST_FAILING = 50  # datasets looked at out of turn
REPEAT_AFTER = timedelta(days=1)
_TIME_TO_COUNT = 5.0  # seconds of a tick; a dataset of a hundred thousand batches takes a tenth of one


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
    asked_for: int = 0  # checksum of the names of the datasets that were new then; 0 = not accepted, or all are shown

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


def check_round(
    timestore: Timestore, statuses: Sequence[DatasetStatus], now: datetime, state: WatchState
) -> tuple[list[Verdict], WatchState]:
    """The verdicts of this tick, and the state that holds the next turn; `statuses` in name order."""
    guardrail = timestore.settings.staging_max_dataset_bytes
    glances = {status.backlog.dataset: at_a_glance(status, guardrail, now) for status in statuses}
    next_ones = turn(list(glances), state.after)
    answered = dict(_answered(timestore, glances, [*next_ones, *_in_trouble(glances, state)]))
    after = next((dataset for dataset in reversed(next_ones) if dataset in answered), state.after)
    failing = [dataset for dataset, verdicts in answered.items() if not _passes(verdicts)]
    verdicts = [verdict for found in answered.values() for verdict in found]
    return verdicts, replace(state, after=after, failing=tuple(failing[:MOST_FAILING]))


def turn(datasets: Sequence[str], after: str) -> list[str]:
    """The next datasets in name order; starts over at the end. `datasets` is sorted."""
    later = [dataset for dataset in datasets if dataset > after]
    return (later or list(datasets))[:PER_ROUND]


def news(shared: Sequence[SharedVerdict], now: datetime) -> list[Verdict]:
    """Verdicts that differ from the last one that Dagster stored, or whose last one is old or can turn grey."""
    return [one.verdict for one in shared if _is_news(one, now)]


def with_failing(state: WatchState, verdicts: Sequence[Verdict]) -> WatchState:
    """Datasets that fail in another shard are looked at out of turn, too: that shard may be dead."""
    failing = [*state.failing, *(verdict.dataset for verdict in verdicts if not verdict.passed)]
    return replace(state, failing=tuple(dict.fromkeys(failing))[:MOST_FAILING])


def _in_trouble(glances: Mapping[str, Sequence[Verdict]], state: WatchState) -> list[str]:
    """Failing datasets, those that failed at the last tick first, so that a recovery shows at once."""
    failed_before = [dataset for dataset in state.failing if dataset in glances]
    failing = [dataset for dataset, verdicts in glances.items() if not _passes(verdicts)]
    return list(dict.fromkeys([*failed_before, *failing]))[:MOST_FAILING]


def _answered(
    timestore: Timestore, glances: Mapping[str, list[Verdict]], datasets: Sequence[str]
) -> Iterator[tuple[str, list[Verdict]]]:
    """At least one dataset, then as many as there is time for."""
    deadline = clock.monotonic() + _TIME_TO_COUNT
    for dataset in dict.fromkeys(datasets):
        yield dataset, [*glances[dataset], books(dataset, timestore.area.ledger.audit.totals(dataset))]
        if clock.monotonic() > deadline:
            return


def _passes(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.passed for verdict in verdicts)


def _is_news(shared: SharedVerdict, now: datetime) -> bool:
    verdict, shown = shared.verdict, shared.shown
    if shown is None or shown.partition is None:
        return True
    if verdict.passed != shown.passed or failures_in(shown).keys() != verdict.failing_shards:
        return True
    if not verdict.passed and verdict.severity is not shown.severity:
        return True
    return now.timestamp() - shared.shown_since > REPEAT_AFTER.total_seconds()
