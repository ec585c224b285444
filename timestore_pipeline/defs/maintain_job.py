"""`lake_maintenance`: `timestore maintain`, with its results on the datasets' pages. By hand, or by its schedule.

Every step may be killed and repeated, so a run may be terminated and launched again at any time.
"""

from datetime import timedelta

import dagster as dg
from pydantic import Field

from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.defs.run_log_retention import forget_run_logs
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.maintain.dataset_maintenance import MaintainOptions, datasets_to_maintain, maintain
from timestore_pipeline.maintain.maintenance_report import DatasetUpkeep
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

MAINTENANCE_JOB = "lake_maintenance"
_MB = 1_000_000
_MOST_LISTED = 20  # problems in the error; the log has all

Opened = dg.ResourceParam[Timestore]


class MaintainConfig(dg.Config):
    """What to maintain, and how; options that are not given have the values of the TIMESTORE_MAINTAIN_* variables."""

    datasets: list[str] = Field(default=[], description="Names as `timestore status` shows them; none = all.")
    dry_run: bool = Field(default=False, description="Say what would be done, and change nothing.")
    target_file_mb: int | None = Field(default=None, ge=1, description="No compacted file is larger.")
    min_files: int | None = Field(default=None, ge=2, description="Small files of a partition worth a rewrite.")
    retention_days: float | None = Field(default=None, ge=0, description="Replaced files stay for as long.")


@dg.op
def maintain_datasets(context: dg.OpExecutionContext, config: MaintainConfig, timestore: Opened) -> None:
    """Compact, vacuum and prune each dataset; record the results. A dataset that fails does not stop the others."""
    problems: list[str] = []
    for done in maintain(timestore.area, timestore.lake, _chosen(timestore, config), _options(timestore, config)):
        context.log_event(_observation(done, dry_run=config.dry_run))
        problems += [f"- {done.dataset}: {error} [{error.hint}]" for error in done.errors]
    if problems:
        more = [f"- and {len(problems) - _MOST_LISTED} more"] if len(problems) > _MOST_LISTED else []
        listed = "\n".join([*problems[:_MOST_LISTED], *more])
        raise dg.Failure(f"some steps failed; all others are complete:\n{listed}", allow_retries=False)


@dg.op
def forget_old_runs(context: dg.OpExecutionContext, timestore: Opened) -> None:
    """Remove the event logs of runs that ended more than TIMESTORE_RUN_LOG_RETENTION_DAYS ago; 0 = none."""
    days = timestore.settings.run_log_retention_days
    if not days:
        return
    before = clock.now() - timedelta(days=days)
    context.log.info("%d logs removed", forget_run_logs(context.instance, timestore.area.shard, before))


@dg.graph(
    description="Compact small files, delete replaced files, prune records past their retention. Safe at any"
    " time, beside producers and flushes."
)
def maintain_tables() -> None:
    maintain_datasets()
    forget_old_runs()


def lake_maintenance(shard: str) -> dg.JobDefinition:
    """The job of one shard."""
    return maintain_tables.to_job(name=MAINTENANCE_JOB, tags={SHARD_TAG: shard}, executor_def=dg.in_process_executor)


@dg.schedule(
    job_name=MAINTENANCE_JOB,
    cron_schedule="41 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Maintains all datasets once a night (UTC).",
)
def nightly_maintenance(context: dg.ScheduleEvaluationContext, timestore: Opened) -> dg.RunRequest:
    """One run for all datasets: starting a run costs more than a dataset with nothing to do."""
    night = context.scheduled_execution_time.isoformat()
    return dg.RunRequest(run_key=f"{timestore.area.shard}/{night}", tags={SHARD_TAG: timestore.area.shard})


def _chosen(timestore: Timestore, config: MaintainConfig) -> list[str]:
    try:
        return datasets_to_maintain(timestore.area, timestore.lake, config.datasets)
    except TimestoreError as error:
        raise dg.Failure(f"{error}; nothing was done [{error.hint}]", allow_retries=False) from error


def _options(timestore: Timestore, config: MaintainConfig) -> MaintainOptions:
    return timestore.maintain_options(
        target_bytes=None if config.target_file_mb is None else config.target_file_mb * _MB,
        min_files=config.min_files,
        retention=None if config.retention_days is None else timedelta(days=config.retention_days),
        dry_run=config.dry_run,
    )


def _observation(done: DatasetUpkeep, *, dry_run: bool) -> dg.AssetObservation:
    """An observation, not a materialization: the rows are the same. Numbers are plotted on the asset's page."""
    verb = "would be" if dry_run else "were"
    return dg.AssetObservation(
        asset_key(done.dataset),
        description=f"{done.compacted_files} files {verb} compacted, {len(done.deleted)} {verb} deleted",
        metadata={
            "files_before": done.files_before,
            "files_after": done.files_after,
            "compacted_rows": done.compacted_rows,
            "compacted_bytes": done.compacted_bytes,
            "written_bytes": done.written_bytes,
            "deleted_files": len(done.deleted),
            "deleted_bytes": done.deleted_bytes,
            "log_commits": done.log_commits,
            "forgotten_batches": done.forgotten_batches,
            "problems": len(done.errors),
        },
    )
