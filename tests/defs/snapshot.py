"""The definitions as one readable text: what operators, dashboards and saved launchpad configurations rely on.

`python -m tests.defs.snapshot` in the repository renews `definitions.txt` beside it; read the difference before you
commit it; users and scripts have to follow a changed name.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import dagster as dg
from dagster._config.type_printer import print_config_type_to_string

from tests.defs.flushing import hourly
from timestore_pipeline import Settings, StagingManager
from timestore_pipeline.definitions import defs
from timestore_pipeline.wiring import Timestore

SNAPSHOT = Path(__file__).with_name("definitions.txt")
_METADATA = {"description": "Hourly weather.", "owners": ["team:meteorology"], "partition": {"granularity": "day"}}


def snapshot(home: Path) -> str:
    """The definitions with one dataset in the ledger; `home` is TIMESTORE_HOME, and shows as <home>."""
    settings = Settings.from_env()
    with StagingManager.open(settings) as staging, Timestore(settings) as timestore:
        timestore.set_metadata("weather", _METADATA)
        staging.enqueue("weather", hourly(1))
    return "\n".join(_lines(defs())).replace(str(home), "<home>") + "\n"


def _lines(definitions: dg.Definitions) -> Iterator[str]:
    repository = definitions.get_repository_def()
    for job in sorted(repository.get_all_jobs(), key=lambda job: job.name):
        if not job.name.startswith("__"):  # the one that Dagster makes of the assets
            yield from [*_job(job), ""]
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        yield from [*_sensor(sensor), ""]
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        yield from [*_schedule(schedule), ""]
    for spec in definitions.resolve_all_asset_specs():
        yield from [*_asset(spec), ""]
    yield from _executed_by_hand(definitions)
    yield ""
    for name, resource in sorted(repository.get_top_level_resources().items()):
        first, *_ = (resource.description or "").splitlines()
        yield f"resource {name}: {first}"
        yield from _configuration(resource.config_schema.config_type)


def _executed_by_hand(definitions: dg.Definitions) -> Iterator[str]:
    for definition in definitions.assets or ():
        if isinstance(definition, dg.AssetsDefinition):
            yield from [*_asset_op(definition), ""]
    checks = [check for several in definitions.asset_checks or () for check in several.check_specs]
    for check in sorted(checks, key=lambda check: check.name):
        yield f"check {check.name} of {check.asset_key.to_user_string()}: {check.description}"


def _job(job: dg.JobDefinition) -> Iterator[str]:
    yield f"job {job.name}: {job.description}"
    yield f"  tags {_pairs(job.tags)}; hooks {_listed(hook.name for hook in job.hook_defs)}"
    yield f"  executor {job.executor_def.name}"
    for node in job.nodes_in_topological_order:
        yield from _op(node, job)


def _op(node: object, job: dg.JobDefinition) -> Iterator[str]:
    definition = node.definition  # type: ignore[attr-defined]
    inputs = job.graph.dependency_structure.input_to_upstream_outputs_for_node(definition.name)
    upstream = (output.node_name for outputs in inputs.values() for output in outputs)
    yield f"  op {definition.name} after {_listed(upstream)}"
    yield f"    needs {_listed(definition.required_resource_keys)}; tags {_pairs(definition.tags)}"
    yield f"    retries {definition.retry_policy}; pool {definition.pool}"
    yield from _configuration(definition.config_schema.config_type, indent=4)


def _sensor(sensor: dg.SensorDefinition) -> Iterator[str]:
    targets = _listed(target.job_name for target in sensor.targets)
    yield f"sensor {sensor.name}: {sensor.description}"
    yield f"  every {sensor.minimum_interval_seconds} s; {sensor.default_status.value}; launches {targets}"


def _schedule(schedule: dg.ScheduleDefinition) -> Iterator[str]:
    yield f"schedule {schedule.name}: {schedule.description}"
    yield f"  {schedule.cron_schedule}; {schedule.default_status.value}; launches {schedule.job_name}"


def _asset(spec: dg.AssetSpec) -> Iterator[str]:
    yield f"asset {spec.key.to_user_string()}: {spec.description}"
    yield f"  group {spec.group_name}; kinds {_listed(spec.kinds)}; owners {_listed(spec.owners)}"
    upstream = _listed(dependency.asset_key.to_user_string() for dependency in spec.deps)
    yield f"  upstream {upstream}; freshness {spec.freshness_policy}"
    if isinstance(spec.partitions_def, dg.TimeWindowPartitionsDefinition):
        yield f"  partitions {spec.partitions_def.cron_schedule} {spec.partitions_def.fmt}"
    yield from (f"  {name}: {_shown(value)}" for name, value in sorted(spec.metadata.items()))


def _asset_op(definition: dg.AssetsDefinition) -> Iterator[str]:
    yield f"op {definition.op.name} of {_listed(key.to_user_string() for key in definition.keys)}"
    yield f"  {definition.op.description}"
    yield f"  needs {_listed(definition.op.required_resource_keys)}; retries {definition.op.retry_policy}"
    yield f"  hooks {_listed(hook.name for hook in definition.hook_defs)}; backfill {definition.backfill_policy}"
    yield from _configuration(definition.op.config_schema.config_type)


def _configuration(kind: object, indent: int = 2) -> Iterator[str]:
    text: str = print_config_type_to_string(kind)  # type: ignore[no-untyped-call]
    if text.split() not in (["Any"], ["{", "}"]):  # there is something to configure
        yield from (" " * indent + line for line in text.strip().splitlines())


def _shown(value: object) -> str:
    shown = value.schema if isinstance(value, dg.TableSchemaMetadataValue) else getattr(value, "value", value)
    if isinstance(shown, dg.TableSchema):
        return ", ".join(f"{column.name} {column.type}" for column in shown.columns)
    return " ⏎ ".join(str(shown).splitlines())


def _pairs(mapping: Mapping[str, str]) -> str:
    return _listed(f"{name}={value}" for name, value in mapping.items())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TIMESTORE_HOME"] = folder
        SNAPSHOT.write_text(snapshot(Path(folder)))


if __name__ == "__main__":
    main()
