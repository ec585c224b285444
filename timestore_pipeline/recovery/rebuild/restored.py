"""Reconciles a ledger that was restored from a backup, also if nothing was published since and only the operator knows.

Then only the segments, also those that the copy lists, hold the batches staged after the backup. This must run before
the next flush, which would publish the batches that the copy lists and unlink the file. Killed anywhere, it may be run
again.
"""

from __future__ import annotations

from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.commit import app_id
from timestore_pipeline.recovery.rebuild.reconcile import known_datasets, reconcile
from timestore_pipeline.recovery.rebuild.reconciliation import OfflineLedger, Reconciliation, Trust
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.opening import exclusively


def reconcile_restored(
    directory: StagingDirectory, shard: str, lake: Lake, *, replace_shard: bool = False
) -> Reconciliation:
    """Enter batches staged and published since the backup; raises `RetryLater` while others use the directory."""
    directory.prepare()
    with exclusively(directory):
        ledger = Ledger(directory.ledger, shard, may_be_new=not directory.holds_rows())
        offline = OfflineLedger(directory, ledger, shard)
        try:
            return _reconcile(offline, lake, replace_shard)
        finally:
            offline.close()


def _reconcile(offline: OfflineLedger, lake: Lake, replace_shard: bool) -> Reconciliation:
    found = reconcile(offline, lake, replace_shard=replace_shard, trust=Trust.OLDER)
    for dataset in known_datasets(offline, lake, Reconciliation()) if not found.errors else ():
        newest = lake.table(dataset).newest(app_id(offline.shard, dataset))
        if not newest.published:  # a burnt epoch names no ledger: the operator vouches that it was this one's
            offline.ledger.log_import.raise_epoch(dataset, newest.epoch)
    return found
