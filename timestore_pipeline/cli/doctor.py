"""`timestore doctor`: what is wrong with this deployment, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

from timestore_pipeline.cli.output import AsJson, print_line, print_verdict
from timestore_pipeline.cli.wording import count
from timestore_pipeline.settings import dagster_home
from timestore_pipeline.tools.doctor.check_list import checks
from timestore_pipeline.tools.doctor.examination import Check, CheckFinding, Deployment, Diagnosis, Status, examine, ok

_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "bold red"}


def doctor(as_json: AsJson = False) -> None:
    """Check configuration, disk, clock, permissions, ledger, lake, landing folder, Dagster and Pushgateway.

    Prints the finding of each check, and what to do about it. Read-only: nothing is created, opened for use or changed.
    Exit code 1 when a check failed; warnings do not change it.

    \b
    Example:
      timestore doctor
    """
    patient = Deployment.from_env()
    diagnosis = examine([*checks(patient), Check("dagster", partial(_dagster, patient))])
    print_verdict(diagnosis, _print, as_json=as_json)


def _dagster(patient: Deployment) -> Iterator[CheckFinding]:
    if find_spec("dagster") is None:
        yield ok("not installed in this environment: producers do without, flushes come from one that has it")
        return
    from timestore_pipeline.defs.instance_health import instance_health

    settings = patient.settings
    yield from instance_health(dagster_home(), settings.shard, landing=settings.landing_directory is not None)


def _print(diagnosis: Diagnosis) -> None:
    width = max(len(name) for name, _ in diagnosis.findings)
    for name, finding in diagnosis.findings:
        print_line(f"{finding.status:<7}  {name:<{width}}  {finding.seen}", _STYLES[finding.status])
        if finding.remedy:
            print_line(f"{'':<7}  {'':<{width}}  -> {finding.remedy}")
    failures, warnings = diagnosis.count(Status.FAILED), diagnosis.count(Status.WARNING)
    print_line(f"{count(failures, 'failure')}, {count(warnings, 'warning')}", "bold")
