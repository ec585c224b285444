"""`ingest_files`: stages complete files of the landing folder, then moves them to the archive.

May be terminated or killed at any instant and launched again: durable batches are skipped by their keys, and the
interrupted file is continued. A bad file fails the run after all others are staged, so that the failure is noticed; a
postponed file does not.

`landing_sensor` launches it when files are ready, one run for all datasets that have some. It keeps no state: the ready
files are read from the folder, and the active runs from Dagster. One run of a shard at a time: no file is taken by two
runs, and ingestion never takes both of the queue's slots from the flushes that make room for it.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from timestore_pipeline.defs.active_runs import active_run
from timestore_pipeline.defs.events import landing_key
from timestore_pipeline.defs.job import SHARD_TAG, push_after_failure, push_after_success
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.doors.landing.intake import Intake
from timestore_pipeline.doors.landing.landing_file import LandingFile
from timestore_pipeline.doors.landing.reports import FileOutcome, Result
from timestore_pipeline.errors import InvalidDatasetName, LandingUnusable
from timestore_pipeline.ingest.whole_file import open_staging
from timestore_pipeline.model.dataset import check_dataset_name
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

INGEST_JOB = "ingest_files"
LANDING_SENSOR = "landing_sensor"
LANDING_TAG = "timestore/landing"  # the shard; dagster.yaml lets one run of each shard have it at a time
_SECONDS = 300.0  # after that no further file is begun: other datasets' files wait for the next run
_MOST_LISTED = 20  # rejected files in the error

Opened = dg.ResourceParam[Timestore]


class IngestConfig(dg.Config):
    """Which datasets' files to take."""

    datasets: list[str] = Field(default=[], description="Names of folders in the landing folder; none = all.")


@dg.op
def find_files(context: dg.OpExecutionContext, config: IngestConfig, timestore: Opened) -> dict[str, Any]:
    """Find the datasets that have files ready."""
    folder = LandingFolder.of(timestore.settings)
    try:
        datasets = [check_dataset_name(name) for name in config.datasets] or folder.datasets()
    except InvalidDatasetName as error:
        raise dg.Failure(f"{error}; no file was taken", allow_retries=False) from error
    for stranger in folder.strangers():
        context.log.warning("%s is ignored: %s", stranger.place, stranger.reason)
    return {"datasets": [dataset for dataset in datasets if _has_work(context, folder, dataset)]}


@dg.op
def stage_files(context: dg.OpExecutionContext, timestore: Opened, found: dict[str, Any]) -> dict[str, Any]:
    """Stage and archive file by file. Crash: the next run continues, no row is lost or doubled."""
    folder = LandingFolder.of(timestore.settings)
    deadline = clock.monotonic() + _SECONDS
    outcomes: list[FileOutcome] = []
    with open_staging(timestore.settings) as staging:
        intake = Intake(folder, staging)
        for dataset in found["datasets"]:
            taken = _take(context, intake, dataset, deadline - clock.monotonic())
            outcomes += taken
            if any(outcome.done for outcome in taken):
                context.log_event(_materialization(dataset, folder, taken))
    _raise_rejected(outcomes)
    return {"files": len(outcomes), "rows": sum(outcome.rows for outcome in outcomes)}


@dg.graph(description="Stage complete files of the landing folder, archive them, set bad ones aside. Safe at any time.")
def ingest_landing_files() -> None:
    stage_files(find_files())


def ingest_files(shard: str) -> dg.JobDefinition:
    """The job of one shard."""
    return ingest_landing_files.to_job(
        name=INGEST_JOB,
        tags={SHARD_TAG: shard, LANDING_TAG: shard},
        hooks={push_after_success, push_after_failure},
        executor_def=dg.in_process_executor,
    )


def _has_work(context: dg.OpExecutionContext, folder: LandingFolder, dataset: str) -> bool:
    try:
        return bool(folder.ready(dataset))
    except LandingUnusable as error:
        context.log.warning("%s is left out: %s [%s]", dataset, error, error.hint)
        return False


def _take(context: dg.OpExecutionContext, intake: Intake, dataset: str, seconds: float) -> list[FileOutcome]:
    """Stage a dataset's files and log each outcome."""
    outcomes: list[FileOutcome] = []
    for outcome in intake.run([dataset], seconds):
        outcomes.append(outcome)
        if outcome.done:
            context.log.info("%s/%s: %s, %d rows", dataset, outcome.file, outcome.result.value, outcome.rows)
            for line in outcome.decided.lines():
                context.log.info("%s/%s: %s", dataset, outcome.file, line)
        else:
            context.log.warning("%s/%s: %s, %s", dataset, outcome.file, outcome.result.value, outcome.error)
    return outcomes


def _materialization(dataset: str, folder: LandingFolder, taken: Sequence[FileOutcome]) -> dg.AssetMaterialization:
    """Numbers are plain numbers: Dagster plots them on the asset's page."""
    done = [outcome for outcome in taken if outcome.done]
    rows = sum(outcome.tally.rows for outcome in done)
    return dg.AssetMaterialization(
        landing_key(dataset),
        description=f"{rows} rows of {len(done)} files were staged",
        metadata={
            "files": len(done),
            "rows": rows,
            "batches": sum(outcome.tally.batches for outcome in done),
            "file_bytes": sum(outcome.bytes for outcome in done),
            "taken_before": sum(outcome.result is Result.DUPLICATE for outcome in done),
            "rejected": sum(outcome.result is Result.REJECTED for outcome in taken),
            "postponed": sum(outcome.result is Result.POSTPONED for outcome in taken),
            "folder": dg.MetadataValue.path(str(folder.root / dataset)),
        },
    )


def _raise_rejected(outcomes: Sequence[FileOutcome]) -> None:
    rejected = [outcome for outcome in outcomes if outcome.result is Result.REJECTED]
    if not rejected:
        return
    listed = [f"- {one.place}: {one.error} [{getattr(one.error, 'hint', '')}]" for one in rejected[:_MOST_LISTED]]
    if len(rejected) > _MOST_LISTED:
        listed.append(f"- and {len(rejected) - _MOST_LISTED} more")
    summary = f"{len(rejected)} of {len(outcomes)} files were set aside in _rejected, the others are staged:"
    raise dg.Failure("\n".join([summary, *listed]), allow_retries=False)


def landing_sensor(settings: Settings) -> dg.SensorDefinition:
    """Runs by default where there is a landing folder."""
    configured = settings.landing_directory is not None

    @dg.sensor(
        name=LANDING_SENSOR,
        job_name=INGEST_JOB,
        default_status=dg.DefaultSensorStatus.RUNNING if configured else dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=4,  # the daemon looks every 5 s; asking for 5 misses every other look
        description="Launches ingest_files for complete files in the landing folder.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, timestore: dg.ResourceParam[Timestore]
    ) -> dg.RunRequest | dg.SkipReason:
        """Raises `LandingUnusable`, so that a disk that is not mounted shows."""
        if timestore.settings.landing_directory is None:
            return dg.SkipReason("TIMESTORE_LANDING_DIRECTORY is not set")
        running = active_run(context.instance, timestore.area, clock.now(), INGEST_JOB)
        if running is not None:
            return dg.SkipReason(f"run {running[:8]} is in progress")
        return _launch(timestore.area.shard, LandingFolder.of(timestore.settings))

    return sensor


def _launch(shard: str, folder: LandingFolder) -> dg.RunRequest | dg.SkipReason:
    now = clock.now()
    files, problems = _listed(folder)
    datasets = sorted({file.dataset for file in files if file.not_before <= now})
    if not datasets:
        return dg.SkipReason(_why_not(files, [*(one.place for one in folder.strangers()), *problems]))
    return dg.RunRequest(
        run_key=f"{shard}/landing/{clock.to_micros(now)}",  # a key launches once for ever; a failed run must not strand
        run_config={"ops": {"find_files": {"config": {"datasets": datasets}}}},
        tags={SHARD_TAG: shard, LANDING_TAG: shard},
    )


def _listed(folder: LandingFolder) -> tuple[list[LandingFile], list[str]]:
    """All files, and the errors of datasets that cannot be listed: they do not delay the other datasets."""
    files, problems = list[LandingFile](), list[str]()
    for dataset in folder.datasets():
        try:
            files += folder.files(dataset)
        except LandingUnusable as error:
            problems.append(str(error))
    return files, problems


def _why_not(files: list[LandingFile], strangers: list[str]) -> str:
    ignored = f"; ignored: {', '.join(strangers[:5])}" if strangers else ""
    if not files:
        return f"no file has been dropped{ignored}"
    wait = min(file.not_before for file in files) - clock.now()
    return f"{len(files)} files wait, the next for {max(wait.total_seconds(), 0):.0f} s{ignored}"
