"""All checks that need no Dagster, in the order in which an operator reads them, and those of the configuration.

Configured limits come first: which are invalid, which contradict each other, and which work but are hardly intended.
The files of `timestore serve` are read as a starting server would; a running one keeps the last good version.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial

from timestore_pipeline.doors.access.reloading import server_certificate, valid_until
from timestore_pipeline.doors.access.gate import Gate
from timestore_pipeline.model.thresholds import LATE_FLOOR, FlushThresholds, GuardrailMode, ladder_problems
from timestore_pipeline.settings import unknown_variables
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.examination import Check, CheckFinding, Deployment, failed, ok, warning
from timestore_pipeline.tools.doctor.host import clocks, disk_fit, disk_speed, permissions
from timestore_pipeline.tools.doctor.queue_health import backlogs, dead_owners, flush_sensor, ledger_health, quarantine
from timestore_pipeline.tools.doctor.surroundings import lake_access, landing_folder, pushgateway, webserver

_AGE = "TIMESTORE_STAGING_FLUSH_MAX_AGE_MS"
_RENEWED = timedelta(days=14)  # before their end; the usual tools renew certificates a month before
_RENEW = "renew it; a running server reads the new one by itself"


def configuration(deployment: Deployment) -> Iterator[CheckFinding]:
    """Environment variables: all problems at once."""
    for problem in deployment.problems:
        yield failed(problem, "correct the variable; nothing starts until then")
    for name, remedy in unknown_variables().items():
        yield warning(f"{name} is no variable of this product and sets nothing", remedy)
    settings = deployment.settings
    if settings.staging_guardrail_mode is GuardrailMode.HARD and not (
        settings.staging_max_dataset_bytes or settings.staging_max_total_bytes
    ):
        yield warning(
            "TIMESTORE_STAGING_GUARDRAIL_MODE=hard, and both byte limits are off: nothing is ever rejected",
            "set TIMESTORE_STAGING_MAX_DATASET_BYTES or TIMESTORE_STAGING_MAX_TOTAL_BYTES",
        )
    yield from _ages("by default", settings.thresholds, f"set {_AGE}")
    yield ok(f"shard {settings.shard}, staging {settings.staging_directory}, lake {settings.lake_uri}")


def overrides(deployment: Deployment) -> Iterator[CheckFinding]:
    """Thresholds of single datasets against the guardrails in force."""
    datasets = deployment.datasets()
    for dataset in datasets:
        own = dataset.metadata.staging.flush
        thresholds = deployment.settings.thresholds.overridden(own)
        remedy = f"timestore datasets set {dataset.name} staging.flush"
        if own.max_bytes is not None:  # `configuration` reports a contradicting default
            for problem in ladder_problems(thresholds, deployment.settings.guardrails):
                named = problem.replace("TIMESTORE_STAGING_FLUSH_MAX_BYTES", "staging.flush.maxBytes")
                yield failed(f"{dataset.name}: {named}", f"{remedy}.maxBytes=, below the guardrail")
        if own.model_fields_set:
            yield from _ages(dataset.name, thresholds, f"{remedy}.maxAgeMs=60000")
    own_limits = sum(bool(dataset.metadata.staging.flush.model_fields_set) for dataset in datasets)
    yield ok(f"{len(datasets)} in use, {own_limits} with thresholds of their own")


def _ages(whose: str, thresholds: FlushThresholds, remedy: str) -> Iterable[CheckFinding]:
    if thresholds.all_off:
        seen = "every threshold is off: each tick flushes every backlog, into many small files"
        return [warning(f"{whose}: {seen}", remedy)]
    if not thresholds.max_age:
        seen = "age is off: a dataset that goes quiet below its other limits is never flushed"
        return [warning(f"{whose}: {seen}", remedy)]
    if thresholds.max_age >= LATE_FLOOR:
        waits, pages = thresholds.max_age.total_seconds(), LATE_FLOOR.total_seconds()
        seen = f"a batch may wait {waits:g} s, the pager fires at {pages:g} s or later"
        return [warning(f"{whose}: {seen}", f"{remedy}, or leave it if rows may be that old")]
    return []


def http_api(deployment: Deployment) -> Iterator[CheckFinding]:
    """Raises `ServerFileRefused`, which names every wrong line."""
    gate = Gate.of(deployment.settings)
    if gate.is_open:
        yield ok("no token is set: `timestore serve` answers this machine only")
    else:
        yield ok(f"tokens of `timestore serve`: {', '.join(token.name for token in gate.tokens)}")


def tls(deployment: Deployment) -> Iterator[CheckFinding]:
    """Raises `ServerFileRefused`."""
    path, found = deployment.settings.api_tls_certificate_file, server_certificate(deployment.settings)
    if path is None or found is None:
        yield ok("TIMESTORE_API_TLS_CERTIFICATE_FILE is unset: `timestore serve` speaks plain HTTP")
        return
    try:
        end = valid_until(found.value, path)
    except ssl.SSLError as error:
        yield failed(f"clients refuse {path}: {getattr(error, 'verify_message', '') or error.reason}", _RENEW)
        return
    if end - clock.now() < _RENEWED:
        yield warning(f"{path} is valid only until {end:%Y-%m-%d %H:%M} UTC", _RENEW)
    else:
        yield ok(f"{path} is valid until {end:%Y-%m-%d}")


CHECKS: dict[str, Callable[[Deployment], Iterator[CheckFinding]]] = {
    "configuration": configuration,
    "datasets": overrides,
    "disk fit": disk_fit,
    "disk speed": disk_speed,
    "clock": clocks,
    "permissions": permissions,
    "ledger": ledger_health,
    "lake": lake_access,
    "landing": landing_folder,
    "http api": http_api,
    "tls": tls,
    "flush sensor": flush_sensor,
    "web server": webserver,
    "pushgateway": pushgateway,
    "backlogs": backlogs,
    "dead owners": dead_owners,
    "quarantine": quarantine,
}


def checks(deployment: Deployment) -> list[Check]:
    return [Check(name, partial(look, deployment)) for name, look in CHECKS.items()]
