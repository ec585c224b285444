"""The Dagster code location: loads from the environment, with or without a staging directory."""

import dagster as dg

from timestore_pipeline.defs.assets import dataset_asset, known_datasets, landed_datasets, landing_asset
from timestore_pipeline.defs.handover import event_log_handover
from timestore_pipeline.defs.job import partition_build
from timestore_pipeline.defs.jobs_by_hand import drain_all, recover_flushes
from timestore_pipeline.defs.landing_job import ingest_files, landing_sensor
from timestore_pipeline.defs.maintain_job import lake_maintenance, nightly_maintenance
from timestore_pipeline.defs.on_demand import dataset_checks, flush_on_demand
from timestore_pipeline.defs.recovery_sensor import flush_recovery_sensor
from timestore_pipeline.defs.resource import TimestoreResource, metrics_gateway
from timestore_pipeline.defs.sensor import staging_flush_sensor
from timestore_pipeline.defs.verify_job import verify_lake, verify_round
from timestore_pipeline.defs.warm_runs.environment import METADATA_KEY, environment_digest
from timestore_pipeline.defs.watch import dataset_watch_sensor
from timestore_pipeline.monitoring.telemetry.logs import warn_of_unknown_variables
from timestore_pipeline.settings import Settings
from timestore_pipeline.system import clock

_JOBS = (ingest_files, drain_all, verify_lake, recover_flushes, lake_maintenance)


@dg.definitions
def defs() -> dg.Definitions:
    """Raises `InvalidSettings`, which the UI shows in place of the code location."""
    settings = Settings.from_env()
    warn_of_unknown_variables()
    known, landed, now = known_datasets(settings), landed_datasets(settings), clock.now()
    names = [entry.record.name for entry in known]
    datasets = [dataset_asset(entry, settings, now, landed) for entry in known]
    return dg.Definitions(
        assets=[*flush_on_demand(datasets), *(landing_asset(dataset, settings) for dataset in landed)],
        asset_checks=dataset_checks(names),
        jobs=[
            partition_build(settings.shard, names),
            *(make(settings.shard) for make in _JOBS),
        ],
        schedules=[verify_round, nightly_maintenance],
        sensors=[staging_flush_sensor, landing_sensor(settings), flush_recovery_sensor, dataset_watch_sensor],
        resources={"timestore": TimestoreResource(), "metrics": metrics_gateway, "io_manager": event_log_handover},
        metadata={METADATA_KEY: environment_digest(settings)},
        executor=dg.in_process_executor,  # of datasets and checks by hand: a process per step costs seconds
    )
