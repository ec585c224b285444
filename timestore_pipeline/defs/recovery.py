"""`flush_recovery_sensor`: ends runs whose worker is gone and that Dagster would keep as started for ever.

That happens when a host dies: worker and code server go together and nobody is left to report it. Such a run blocks no
dataset (`active_runs`), but it holds one of the queue's few slots, and two of them would stop every flush.

Also unlinks segments that a dead worker had published and not unlinked: nothing is pending in them, so no flush is due,
and in hard mode a guardrail that they reach would keep producers out for ever.
"""

import json

import dagster as dg

from timestore_pipeline.defs.active_runs import vanished_runs
from timestore_pipeline.wiring import Timestore

_GONE = "the worker process is gone; what it had claimed goes to the next flush"


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,  # also how long a run must have looked vanished
    description="Marks runs as failed whose worker process is gone, and frees the disk space they left.",
)
def flush_recovery_sensor(
    context: dg.SensorEvaluationContext, timestore: dg.ResourceParam[Timestore]
) -> dg.SensorResult:
    """The cursor holds the runs that looked vanished at the last tick; those that still do are ended."""
    suspected = set(json.loads(context.cursor or "[]"))
    vanished = vanished_runs(context.instance, timestore.area)
    ended = [run for run in vanished if run.run_id in suspected]
    for run in ended:
        context.instance.report_run_failed(run, _GONE)
    timestore.area.remove_all_drained_segments()
    newly = sorted(run.run_id for run in vanished if run not in ended)
    return dg.SensorResult(cursor=json.dumps(newly), skip_reason=_told([run.run_id[:8] for run in ended]))


def _told(ended: list[str]) -> str:
    return f"ended {', '.join(ended)}" if ended else "every started run has a living worker"
