"""Whether the ledger is there, whole, of this release and of this shard."""

from __future__ import annotations

from collections.abc import Iterator

from timestore_pipeline.staging.ledger.inspection import LedgerInspection
from timestore_pipeline.staging.ledger_format import FORMAT_VERSION
from timestore_pipeline.staging.opening import lost
from timestore_pipeline.tools.doctor.examination import Deployment, Finding, failed, ok, warning


def ledger_health(deployment: Deployment) -> Iterator[Finding]:
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
