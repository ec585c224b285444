"""Whether the ledger is whole, and what is stuck: a sensor that does not tick, rows that wait too long, dead owners,
batches that were set aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from timestore_pipeline.model.thresholds import SENSOR_LATE
from timestore_pipeline.staging.directory import folder_bytes
from timestore_pipeline.staging.ledger.inspection import DatasetHealth, Holding, LedgerInspection
from timestore_pipeline.staging.ledger_format import FORMAT_VERSION
from timestore_pipeline.staging.liveness import others_alive
from timestore_pipeline.staging.opening import lost
from timestore_pipeline.staging.scratch import owned_folders
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.examination import CheckFinding, Deployment, failed, ok, warning


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
