"""All checks that need no Dagster, in the order in which an operator reads them, and those of configuration and queue.

Configured limits come first: which are invalid, which contradict each other, and which work but are hardly intended.
The files of `timestore serve` are read as a starting server would; a running one keeps the last good version.

The checks of the queue find a damaged ledger, and what is stuck: a sensor that does not tick, rows that wait too long,
dead owners, batches that were set aside.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial

from timestore_pipeline.doors.access.gate import Gate
from timestore_pipeline.doors.access.reloading import server_certificate, valid_until
from timestore_pipeline.model.thresholds import (
    LATE_FLOOR,
    SENSOR_LATE,
    FlushThresholds,
    GuardrailMode,
    ladder_problems,
)
from timestore_pipeline.settings import relative_locations, unknown_variables
from timestore_pipeline.staging.directory import folder_bytes
from timestore_pipeline.staging.ledger.inspection import DatasetHealth, Holding, LedgerInspection
from timestore_pipeline.staging.ledger_format import FORMAT_VERSION
from timestore_pipeline.staging.liveness import lost, others_alive
from timestore_pipeline.staging.scratch import owned_folders
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.examination import Check, CheckFinding, Deployment, failed, ok, warning
from timestore_pipeline.tools.doctor.host import clocks, disk_fit, disk_speed, permissions
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
    for name in relative_locations():
        seen = f"{name} counts from the working directory: processes that start elsewhere have other rows"
        yield warning(seen, "export an absolute path, the same for Dagster, producers and commands")
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


def ledger_health(deployment: Deployment) -> Iterator[CheckFinding]:
    """The file, its format and its owner."""
    directory, shard = deployment.directory, deployment.settings.shard
    if directory.rebuilding() is not None:
        yield failed("a rebuild of the ledger was begun and not finished", "run `timestore recover` again")
    if not directory.ledger.exists():
        if directory.holds_rows():
            raise lost(directory)
        yield ok("there is none yet; the first process creates it")
        return
    deployment.ledger(LedgerInspection.check_file)
    meta = deployment.ledger(LedgerInspection.meta) or {}
    if meta.get("format_version") != str(FORMAT_VERSION):
        seen = f"format version {meta.get('format_version')}, this release reads {FORMAT_VERSION}"
        yield failed(seen, "use the release that wrote it, or drain it there first")
    elif meta.get("shard") != shard:
        seen = f"it belongs to shard {meta.get('shard')!r}, TIMESTORE_SHARD is {shard!r}"
        yield failed(seen, "set TIMESTORE_SHARD to its owner, or use another TIMESTORE_STAGING_DIRECTORY")
    else:
        yield ok(f"SQLite finds it whole; format version {FORMAT_VERSION}, shard {shard}")
    if kept := sorted(directory.root.glob("quarantine/_ledger-*")):
        yield warning(f"{len(kept)} replaced ledger(s) are kept, the last is {kept[-1]}", "remove it once verify is ok")


def flush_sensor(deployment: Deployment) -> Iterator[CheckFinding]:
    """The sensor's last tick, from the ledger: without it, nothing is flushed when a limit is reached."""
    ticked = deployment.ledger(LedgerInspection.sensor_ticked_at)
    by_hand = "start Dagster (`dagster dev`, or webserver and daemon), or flush by hand: `timestore flush --all --now`"
    if ticked is None:
        yield warning("no flush sensor has run on this staging directory yet", by_hand)
        return
    silent = clock.now() - ticked
    seen = f"the flush sensor ticked {silent.total_seconds():.0f} s ago"
    if silent < -SENSOR_LATE:
        yield warning(f"{seen}: the clock was set back, so it is unknown whether it ticks", "look again in a minute")
        return
    yield failed(seen, by_hand) if silent > SENSOR_LATE else ok(seen)


def backlogs(deployment: Deployment) -> Iterator[CheckFinding]:
    """Rows that wait longer than the pager allows, and datasets that fail or are paused."""
    datasets = deployment.datasets()
    for dataset in datasets:
        yield from _backlog(dataset, deployment)
    batches = sum(dataset.pending + dataset.in_flight for dataset in datasets)
    yield ok(f"{batches} batches of {len(datasets)} datasets wait or are in flight")


def dead_owners(deployment: Deployment) -> Iterator[CheckFinding]:
    """Processes that ended without releasing their segments and claims."""
    alive = set(others_alive(deployment.directory.processes))
    holdings = deployment.ledger(LedgerInspection.holdings) or []
    dead = [holding for holding in holdings if holding.process_id not in alive]
    for holding in dead:
        remedy = "the next flush takes it over; `timestore recover` does it now"
        yield warning(f"process {_name(holding)} is gone and left {_left(holding)}", remedy)
    folders = owned_folders(deployment.directory) if deployment.directory.spool.is_dir() else []
    left = [path for path, owner in folders if owner not in alive]
    if left:
        seen = f"killed processes left {sum(folder_bytes(path) for path in left) / 1e6:,.0f} MB in the spool"
        yield warning(seen, "the next query or flush removes it; `timestore recover` does it now")
    if not dead and not left:
        yield ok(f"{len(alive)} processes live, dead ones left nothing behind")


def quarantine(deployment: Deployment) -> Iterator[CheckFinding]:
    """Quarantined batches are acknowledged, and are not published until an operator decides."""
    held = [dataset for dataset in deployment.datasets() if dataset.open_incidents]
    for dataset in held:
        seen = f"{dataset.name}: {dataset.open_incidents} incident(s) wait for a decision"
        yield warning(seen, f"timestore quarantine list {dataset.name}, then requeue or discard")
    if not held:
        yield ok("nothing is set aside")


def _backlog(dataset: DatasetHealth, deployment: Deployment) -> Iterator[CheckFinding]:
    late_after = deployment.settings.thresholds.overridden(dataset.metadata.staging.flush).late_after
    waited = timedelta(0) if dataset.oldest_staged_at is None else clock.now() - dataset.oldest_staged_at
    block = dataset.block
    if block is not None and block.holds(block.configuration, clock.now()):
        yield failed(f"{dataset.name}: blocked: {block.error}", f"{block.hint}; then `timestore flush {dataset.name}`")
    elif dataset.failures:
        last = f", the last: {dataset.last_error}" if dataset.last_error else ""
        remedy = f"timestore flushes {dataset.name}"
        yield failed(f"{dataset.name}: {dataset.failures} flushes failed in a row{last}", remedy)
    if dataset.paused:
        yield warning(f"{dataset.name}: flushes are paused", f"timestore resume {dataset.name}")
    elif late_after is not None and waited > late_after:
        seen = f"{dataset.name}: the oldest batch waits for {waited.total_seconds():.0f} s"
        yield failed(seen, f"timestore explain {dataset.name}")


def _name(holding: Holding) -> str:
    return holding.process_id if holding.pid is None else f"{holding.pid} ({holding.process_id}, {holding.host})"


def _left(holding: Holding) -> str:
    parts = [(holding.unfinished_segments, "unfinished segment(s)"), (holding.claims, "claim(s)")]
    return " and ".join(f"{amount} {what}" for amount, what in parts if amount)


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
