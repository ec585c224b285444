"""`flush_recovery_sensor`: settles the claims of processes that are gone, and ends their runs in Dagster.

A claim whose process was killed, or has not renewed its lease, is settled here within a tick, whether or not the run
queue has room for the next flush: its batches are pending again, or found published. The work of one tick is bounded;
the next tick does the rest.

Without this sensor, Dagster would keep a run whose worker is gone as started for ever. That happens when a host dies:
worker and code server end together, and neither reports it. Such a run blocks no dataset (`active_runs`), but it holds
one of its shard's two slots in the queue, and two of them would stop every flush of the shard.

The sensor also unlinks segments that a dead worker had published and not unlinked: nothing is pending in them, so no
flush is due, and in hard mode a guardrail that they reach would reject producers for ever. It also removes the folder
of a killed query, whose links keep published segments on disk.
"""

import json
from datetime import timedelta

import dagster as dg

from timestore_pipeline.defs.active_runs import vanished_runs
from timestore_pipeline.defs.events import materializations
from timestore_pipeline.flush.settle import SettledFlushes, Settlement, settle_all_interrupted
from timestore_pipeline.model.flush import FlushState
from timestore_pipeline.staging.scratch import remove_abandoned
from timestore_pipeline.wiring import Timestore

SETTLING_BUDGET = timedelta(seconds=20)  # of the 60 that Dagster gives a tick; one more claim may be begun at its end

_GONE = "the worker process is gone; the next flush takes the batches that it had claimed"


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,  # also how long a run must have looked vanished
    description="Settles claims of processes that are gone, ends their runs, and frees the disk space they left.",
)
def flush_recovery_sensor(
    context: dg.SensorEvaluationContext, timestore: dg.ResourceParam[Timestore]
) -> dg.SensorResult:
    """Settle claims first, because they delay publication.

    The cursor holds the runs that looked vanished at the last tick; those that still do are ended.
    """
    settled = settle_all_interrupted(timestore.area, timestore.lake, SETTLING_BUDGET)
    for problem in settled.errors:
        context.log.warning("an interrupted flush cannot be settled yet: %s", problem)
    suspected = _suspected(context.cursor)
    vanished = vanished_runs(context.instance, timestore.area)
    ended = [run for run in vanished if run.run_id in suspected]
    for run in ended:
        context.instance.report_run_failed(run, _GONE)
    timestore.area.remove_all_drained_segments()
    remove_abandoned(timestore.area)
    newly = sorted(run.run_id for run in vanished if run not in ended)
    return dg.SensorResult(
        cursor=json.dumps(newly),
        skip_reason=_summary(settled, [run.run_id[:8] for run in ended]),
        asset_events=[event for settlement in settled.settled for event in _published(timestore, settlement)],
    )


def _suspected(cursor: str | None) -> set[str]:
    """A cursor of another release, or one edited by hand, counts as none."""
    try:
        return set(json.loads(cursor or "[]"))
    except (ValueError, TypeError):
        return set()


def _published(timestore: Timestore, settlement: Settlement) -> list[dg.AssetMaterialization]:
    """The events of a settled flush that was published: its own run never reported it."""
    if settlement.state is not FlushState.PUBLISHED:
        return []
    return materializations(timestore, timestore.area.ledger.flushes.get(settlement.ref))


def _summary(settled: SettledFlushes, ended: list[str]) -> str:
    parts = [f"flush {s.ref.epoch} of {s.ref.dataset} is {s.state}" for s in settled.settled]
    parts += [f"not settled yet: {error}" for error in settled.errors]
    parts += [f"{settled.left} more at the next tick"] if settled.left else []
    parts += [f"ended {', '.join(ended)}"] if ended else []
    return "; ".join(parts) or "every claim and every started run has a living worker"
