"""`verify_lake`: `timestore verify`, with its verdicts on the datasets' pages. By hand, and each dataset once a day.

Read-only, so it may be terminated and launched again at any time; verdicts that it has recorded stay.
"""

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from timestore_pipeline.defs.checks import WATCHED, audited
from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.defs.on_demand import verdicts
from timestore_pipeline.defs.shard_verdicts import for_all_shards
from timestore_pipeline.recovery.findings import DatasetAudit
from timestore_pipeline.recovery.shard_audit import audit_dataset, datasets_to_audit
from timestore_pipeline.wiring import Timestore

VERIFY_JOB = "verify_lake"
_HOURS = 24
_TURN = 17  # minute of the hour
_MOST_LISTED = 20  # problems in the error; the checks' pages list those of each dataset

Opened = dg.ResourceParam[Timestore]


class VerifyConfig(dg.Config):
    """Which datasets to verify."""

    datasets: list[str] = Field(default=[], description="Names as `timestore status` shows them; none = all.")
    retired_shards: list[str] = Field(default=[], description="Shards that are gone: checks drop what these found.")


@dg.op
def verify_datasets(context: dg.OpExecutionContext, config: VerifyConfig, timestore: Opened) -> None:
    """Compare ledger, segments and Delta log of each dataset, and record both verdicts."""
    if timestore.area.shard in config.retired_shards:
        raise dg.Failure(f"{timestore.area.shard} is this shard; nothing was verified", allow_retries=False)
    chosen = _chosen(timestore, config.datasets)
    audits = [_audited(context, timestore, dataset, config.retired_shards) for dataset in chosen]
    problems = [f"- {audit.dataset}: {problem.message}" for audit in audits for problem in audit.problems]
    if problems:
        more = [f"- and {len(problems) - _MOST_LISTED} more"] if len(problems) > _MOST_LISTED else []
        listed = "\n".join([*problems[:_MOST_LISTED], *more])
        raise dg.Failure(f"the books of {sum(not audit.ok for audit in audits)} datasets do not add up:\n{listed}")
    context.log.info("every row of %d datasets is accounted for", len(audits))


@dg.graph(description="Prove that every acknowledged row is staged or published, once. Read-only; safe at any time.")
def verify_books() -> None:
    verify_datasets()


def verify_lake(shard: str) -> dg.JobDefinition:
    """The job of one shard."""
    return verify_books.to_job(name=VERIFY_JOB, tags={SHARD_TAG: shard}, executor_def=dg.in_process_executor)


@dg.schedule(
    job_name=VERIFY_JOB,
    cron_schedule=f"{_TURN % 10}-59/10 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Verifies new datasets every ten minutes, and a twenty-fourth of all every hour: each once a day.",
)
def verify_round(context: dg.ScheduleEvaluationContext, timestore: Opened) -> dg.RunRequest | dg.SkipReason:
    """Skips where no dataset is new and none has its turn: a page is not grey for long, and few runs are launched."""
    at = context.scheduled_execution_time
    ledger = timestore.area.ledger
    known, verified = ledger.datasets.names(active=True), ledger.verifications.verified()
    turn = known[at.hour :: _HOURS] if at.minute == _TURN else []
    names = sorted({*turn, *(name for name in known if name not in verified)})
    if not names:
        return dg.SkipReason("no dataset is new, and none has its turn now")
    return dg.RunRequest(
        run_key=f"{timestore.area.shard}/{at.isoformat()}",
        run_config={"ops": {"verify_datasets": {"config": {"datasets": names}}}},
        tags={SHARD_TAG: timestore.area.shard},
    )


def _chosen(timestore: Timestore, names: list[str]) -> list[str]:
    known = datasets_to_audit(timestore.area, timestore.lake)
    if unknown := [name for name in names if name not in known]:
        raise dg.Failure(f"unknown dataset {', '.join(unknown)}; nothing was verified", allow_retries=False)
    return names or known


def _audited(
    context: dg.OpExecutionContext, timestore: Timestore, dataset: str, retired: Sequence[str]
) -> DatasetAudit:
    """The sensor, which answers the other checks, knows of no retired shard: these are answered here, too."""
    audit = audit_dataset(timestore.area, timestore.lake, dataset)
    found = [*audited(audit), *(verdicts(timestore, dataset, WATCHED) if retired else [])]
    for verdict in for_all_shards(context.instance, timestore.area.shard, found, retired):
        context.log_event(verdict.evaluation())  # type: ignore[arg-type]  # accepted, though the annotation omits it
    return audit
