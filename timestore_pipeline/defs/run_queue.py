"""What a run waits for in Dagster's queue: the runs, of whatever shard or location, that hold its slots. Read-only."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.storage.dagster_run import ACTIVE_RUN_STATUSES

from timestore_pipeline.defs.active_runs import busy_datasets
from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.staging.area import StagingArea

_MOST_NAMED = 3  # runs in a sentence


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run that waits, or that holds a slot; seconds: since it was requested, or since it began."""

    run_id: str
    job: str
    shard: str | None  # None = a run of other definitions
    location: str | None  # its code location, as the UI names it
    status: str
    seconds: float

    @classmethod
    def of(cls, record: dg.RunRecord, now: datetime) -> Self:
        run = record.dagster_run
        origin = run.remote_job_origin
        began = record.start_time or record.create_timestamp.timestamp()
        return cls(
            run.run_id,
            run.job_name,
            run.tags.get(SHARD_TAG),
            None if origin is None else origin.location_name,
            run.status.value.lower(),
            max(now.timestamp() - began, 0.0),
        )

    def __str__(self) -> str:
        owner = f"shard {self.shard}" if self.shard else f"location {self.location}"
        return f"run {self.run_id[:8]} ({self.job}, {owner}, {self.status}, {self.seconds:.0f} s)"


@dataclass(frozen=True, slots=True)
class HeldBy:
    """The run that will flush a dataset, or does."""

    run: ActiveRun
    behind: tuple[ActiveRun, ...]  # the runs that it waits for

    @property
    def sentence(self) -> str:
        if self.run.status != dg.DagsterRunStatus.QUEUED.value.lower():
            return f"by {self.run}"
        if not self.behind:
            return f"by {self.run}, which the daemon starts next"
        named = ", ".join(map(str, self.behind[:_MOST_NAMED]))
        rest = len(self.behind) - _MOST_NAMED
        return f"by {self.run}, which waits for {named}" + (f" and {rest} more" if rest > 0 else "")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def run_of(home: Path, area: StagingArea, dataset: str, now: datetime) -> HeldBy | None:
    """The run of this shard that has the dataset; home: DAGSTER_HOME. Raises what Dagster's storage raises."""
    with used_instance(home) as instance:
        if instance is None:
            return None
        run_id = busy_datasets(instance, area, now).get(dataset)
        record = None if run_id is None else instance.get_run_record_by_id(run_id)
        return None if record is None else _held_by(instance, record, now)


def waiting_runs(instance: dg.DagsterInstance, shard: str, now: datetime) -> Iterator[HeldBy]:
    """The queued runs of a shard, oldest first, each with the runs that it waits for."""
    waiting = dg.RunsFilter(tags={SHARD_TAG: shard}, statuses=[dg.DagsterRunStatus.QUEUED])
    for record in instance.get_run_records(waiting, ascending=True):
        yield _held_by(instance, record, now)


def gives_shards_slots(instance: dg.DagsterInstance) -> bool:
    """Whether the queue limits the runs of each shard; True without a queue."""
    queue = instance.get_concurrency_config().run_queue_config
    return queue is None or any(
        limit["key"] == SHARD_TAG and _per_value(limit) for limit in queue.tag_concurrency_limits
    )


def blocking(run: dg.DagsterRun, at_work: Sequence[dg.RunRecord], queue: RunQueueConfig | None) -> list[dg.RunRecord]:
    """The runs that hold what the queued run needs, by the first of the queue's limits that keeps it waiting."""
    if queue is None:
        return []
    if 0 <= queue.max_concurrent_runs <= len(at_work):
        return [*at_work]
    for limit in queue.tag_concurrency_limits:
        holding = [record for record in at_work if _share(limit, run.tags, record.dagster_run.tags)]
        if holding and len(holding) >= limit["limit"]:
            return holding
    return []


def _held_by(instance: dg.DagsterInstance, record: dg.RunRecord, now: datetime) -> HeldBy:
    behind: list[dg.RunRecord] = []
    if record.dagster_run.status is dg.DagsterRunStatus.QUEUED:
        at_work = instance.get_run_records(dg.RunsFilter(statuses=ACTIVE_RUN_STATUSES), ascending=True)
        behind = blocking(record.dagster_run, at_work, instance.get_concurrency_config().run_queue_config)
    return HeldBy(ActiveRun.of(record, now), tuple(ActiveRun.of(other, now) for other in behind))


def _share(limit: Mapping[str, Any], ours: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    """Whether both runs count for the limit, as Dagster counts."""
    key, value = limit["key"], limit.get("value")
    if key not in ours or key not in theirs:
        return False
    if isinstance(value, str):
        return ours[key] == theirs[key] == value
    return not _per_value(limit) or ours[key] == theirs[key]


def _per_value(limit: Mapping[str, Any]) -> bool:
    value = limit.get("value")
    return isinstance(value, Mapping) and bool(value["applyLimitPerUniqueValue"])


@contextmanager
def used_instance(home: Path) -> Iterator[dg.DagsterInstance | None]:
    """The instance as a program beside Dagster opens it, to read.

    home: DAGSTER_HOME. None = no Dagster has used it yet: opening an instance creates its missing files.
    """
    if not (home / "dagster.yaml").exists() and not (home / "history").exists():
        yield None
        return
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance
