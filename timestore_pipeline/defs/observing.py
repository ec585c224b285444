"""Queue depth, age and disk use of the datasets as asset observations, on change and at a limited rate. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import dagster as dg

from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.defs.watch_state import MOST_REMEMBERED, OBSERVE_EVERY, Observed
from timestore_pipeline.model.flush import Backlog
from timestore_pipeline.system import clock

MOST_OBSERVED = 10  # datasets per tick; an observation is 2 kB in Dagster's storage, for ever


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
