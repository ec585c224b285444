"""A run launcher for `dagster.yaml` that starts this product's runs from a warm parent.

    run_launcher:
      module: timestore_pipeline.defs.warm_runs.launcher
      class: WarmRunLauncher

A new Python spends some seconds of CPU on imports before a run does anything; a fork spends none. All other runs, and
all runs that this process must not start itself (`environment.py`), are started by their code server, as Dagster's
default launcher does.

What happens on a crash:
- the launcher's process (Dagster's daemon): the parent ends, runs go on; the next launcher starts another parent;
- the parent: runs go on; the next launch starts another parent;
- a run's process: its run fails at once, or, when the launcher was replaced meanwhile, at the next health check of
  Dagster's run monitoring or of `flush_recovery_sensor`.
"""

import logging
import threading
from contextlib import suppress
from typing import cast

import dagster as dg
from dagster._core.errors import DagsterLaunchFailedError
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.origin import JobPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value
from dagster._serdes.config_class import ConfigurableClassData

from timestore_pipeline.defs.warm_runs.environment import METADATA_KEY, environment_digest
from timestore_pipeline.defs.warm_runs.parent import ParentGone, WarmParent
from timestore_pipeline.defs.warm_runs.worker import WORKER_TAG, Worker
from timestore_pipeline.errors import InvalidSettings
from timestore_pipeline.settings import Settings

_log = logging.getLogger(__name__)


class WarmRunLauncher(dg.DefaultRunLauncher):
    """One per Dagster process; it has at most one parent, which starts at the first launch."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._lock = threading.Lock()
        self._parent: WarmParent | None = None
        self._digest = ""  # of the environment in which the parent was started

    def launch_run(self, context: LaunchRunContext) -> None:
        """Raises `DagsterLaunchFailedError` when it is unknown whether the run was started: it must not start twice."""
        run = context.dagster_run
        parent = self._parent_for(context)
        if parent is None:
            super().launch_run(context)
            return
        try:
            pid = parent.start(run.run_id, self._arguments(run))
        except ParentGone as gone:
            if gone.asked:
                raise DagsterLaunchFailedError(str(gone)) from gone  # type: ignore[no-untyped-call]
            super().launch_run(context)
        else:
            self._sign(run, pid)

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        worker = _worker_of(run)
        if run is None or run.is_finished or worker is None:
            return cast("bool", super().terminate(run_id))  # type: ignore[no-untyped-call]
        self._instance.report_run_canceling(run)
        if not worker.is_here:
            self._instance.report_engine_event(f"the run's process is on the host {worker.host}", run, cls=type(self))
            return False
        return worker.interrupt()

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """A run of a code server, or of another host, counts as running: its end is reported there."""
        worker = _worker_of(run)
        if worker is None or not worker.is_here or worker.is_alive():
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"the process {worker.pid} is gone")

    def dispose(self) -> None:
        """Runs go on."""
        with self._lock:
            self._retire()
        super().dispose()

    def _arguments(self, run: dg.DagsterRun) -> str:
        origin = cast("JobPythonOrigin", run.job_code_origin)  # unused since Dagster finds it in the run
        return serialize_value(ExecuteRunArgs(origin, run.run_id, self._instance.get_ref()))

    def _parent_for(self, context: LaunchRunContext) -> WarmParent | None:
        """None = the code server must start this run."""
        published = _published_digest(context)
        try:
            if published is None or published != environment_digest(Settings.from_env()):
                return None
        except InvalidSettings:
            return None
        with self._lock:
            if self._parent is None or self._digest != published or not self._parent.is_alive:
                self._retire()
                try:
                    self._parent, self._digest = WarmParent(self._report_end), published
                except ParentGone as gone:
                    _log.warning("%s; runs are started by the code server", gone)
            return self._parent

    def _retire(self) -> None:
        if self._parent is not None:
            self._parent.close()
        self._parent = None

    def _sign(self, run: dg.DagsterRun, pid: int) -> None:
        """Name the process in the run's tags, for the Dagster process that terminates it or checks its health."""
        with suppress(OSError):  # it has ended already
            self._instance.add_run_tags(run.run_id, {WORKER_TAG: str(Worker.of(pid))})

    def _report_end(self, run_id: str, pid: int, code: int) -> None:
        """A run whose process is gone will not end by itself: it was canceled, or it has failed."""
        if not self.has_instance:
            return
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        how = f"was ended by signal {-code}" if code < 0 else f"has ended with exit code {code}"
        message = f"the run's process {pid} {how} before the run was finished"
        if run.status is dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceled(run, message)
        else:
            self._instance.report_run_failed(run, message)


def _worker_of(run: dg.DagsterRun | None) -> Worker | None:
    """None = the run was started by a code server."""
    tag = None if run is None else run.tags.get(WORKER_TAG)
    return None if tag is None else Worker.parse(tag)


def _published_digest(context: LaunchRunContext) -> str | None:
    """What the run's code server says about its environment; None = it serves other definitions."""
    origin = context.dagster_run.remote_job_origin
    if origin is None or context.workspace is None:
        return None
    location = context.workspace.get_code_location(origin.repository_origin.code_location_origin.location_name)
    repository = location.get_repository(origin.repository_origin.repository_name)
    value = (repository.repository_snap.metadata or {}).get(METADATA_KEY)
    return None if value is None else str(value.value)
