"""Launch runs as Dagster's daemon does, with a real code server, but one by one and without the daemon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import ModuleTarget

from timestore_pipeline.defs.job import JOB_NAME

_LOCATION = "timestore_pipeline"


class Launching:
    """A Dagster instance, and a code server that it has loaded; both have the environment of this process."""

    def __init__(self, instance: dg.DagsterInstance, workspace: WorkspaceRequestContext) -> None:
        self.instance = instance
        self._workspace = workspace

    def launch(self, config: Mapping[str, Any]) -> str:
        """Return the id of a run of `partition_build` when the instance's launcher has started it."""
        location = self._workspace.get_code_location(_LOCATION)
        [repository] = location.get_repositories().values()
        job = repository.get_full_job(JOB_NAME)
        plan = location.get_execution_plan(job, config, step_keys_to_execute=None, known_state=None)
        run = self.instance.create_run(
            job_name=job.name,
            run_id=None,
            run_config=config,
            status=None,
            tags=dict(job.tags),
            root_run_id=None,
            parent_run_id=None,
            step_keys_to_execute=None,
            execution_plan_snapshot=plan.execution_plan_snapshot,
            job_snapshot=job.job_snapshot,
            parent_job_snapshot=None,
            asset_selection=None,
            asset_check_selection=None,
            resolved_op_selection=None,
            op_selection=None,
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(),
            asset_graph=None,  # type: ignore[arg-type]  # read for a selection of assets only
        )
        self.instance.launch_run(run.run_id, self._workspace)
        return run.run_id

    def run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None, run_id
        return run


@contextmanager
def launching(home: Path) -> Iterator[Launching]:
    """home: DAGSTER_HOME, with a `dagster.yaml`."""
    target = ModuleTarget(f"{_LOCATION}.definitions", None, None, _LOCATION)
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        WorkspaceProcessContext(instance, target) as workspace,
    ):
        yield Launching(instance, workspace.create_request_context())
