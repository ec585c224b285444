"""`landing_sensor`: launches `ingest_files` when files are ready, one run for all datasets that have some.

It keeps no state: the ready files are read from the folder, and the active runs from Dagster. One run of a shard at a
time: no file is taken by two runs, and ingestion never takes both of the queue's slots from the flushes that make room
for it.
"""

import dagster as dg

from timestore_pipeline.defs.active_runs import active_run
from timestore_pipeline.defs.job import SHARD_TAG
from timestore_pipeline.defs.landing_job import INGEST_JOB, LANDING_TAG
from timestore_pipeline.doors.landing.folder import LandingFolder
from timestore_pipeline.doors.landing.landing_file import LandingFile
from timestore_pipeline.errors import LandingUnusable
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

LANDING_SENSOR = "landing_sensor"


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
