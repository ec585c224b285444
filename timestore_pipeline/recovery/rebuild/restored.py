"""A ledger that an operator says is an older copy, where nothing else may show it: nothing was published since.

Then only the segments know what was staged after the backup, also those that the copy lists. This must come before the
next flush, which would publish what the copy knows and unlink the file. Killed anywhere, it is run again.
"""

from __future__ import annotations

from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.commit import app_id
from timestore_pipeline.recovery.rebuild.reconcile import known_datasets, reconcile
from timestore_pipeline.recovery.rebuild.reconciliation import OfflineLedger, Reconciliation, Trust
from timestore_pipeline.staging.directory import StagingDirectory
from timestore_pipeline.staging.ledger import Ledger
from timestore_pipeline.staging.opening import exclusively


def learn_since_backup(
    directory: StagingDirectory, shard: str, lake: Lake, *, replace_shard: bool = False
) -> Reconciliation:
    """Enter what was staged and published since the backup; raises `RetryLater` while others use the directory."""
    directory.prepare()
    with exclusively(directory):
        ledger = Ledger(directory.ledger, shard, may_be_new=not directory.holds_rows())
        try:
            return _learn(OfflineLedger(directory, ledger, shard), lake, replace_shard)
        finally:
            ledger.close()


def _learn(books: OfflineLedger, lake: Lake, replace_shard: bool) -> Reconciliation:
    learnt = reconcile(books, lake, replace_shard=replace_shard, trust=Trust.OLDER)
    for dataset in known_datasets(books, lake, Reconciliation()) if not learnt.errors else ():
        newest = lake.table(dataset).newest(app_id(books.shard, dataset))
        if not newest.published:  # a burnt epoch names no ledger: that it was this one's is the operator's word
            books.ledger.log_import.raise_epoch(dataset, newest.epoch)
    return learnt
