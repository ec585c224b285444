"""Opening, creating and extending one Delta table, with every fault in the product's own words.

Creating and extending are safe to race: whoever loses finds the winner's work and goes on from there. A crash leaves
either no table or a sound one. A log that a power loss tore is mended when it is next opened (decision 0004).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from timestore_pipeline.errors import MissingTable, RetryLater
from timestore_pipeline.lake import evolution, faults
from timestore_pipeline.lake.foreign import check_writable
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.log import DeltaLog

CHECKPOINT_EVERY = 50  # versions; what a reader has to replay at most
ATTEMPTS = 20  # at a commit that others keep getting in the way of; deltalake itself retries the harmless conflicts

# deltalake would write checkpoints without flushing them, and remove commits that `outcome` may still have to read.
HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)

# When two create a table at once, the loser's retry would commit its schema as version 1, over the winner's.
_NO_SECOND_TRY = CommitProperties(max_commit_retries=0)

_logger = logging.getLogger(__name__)


class TableHandle:
    """Snapshots of one table and the changes to it that carry no rows."""

    def __init__(self, uri: str, options: Mapping[str, str], log: DeltaLog) -> None:
        self.uri = uri
        self.log = log
        self._options = dict(options)

    def open(self) -> DeltaTable | None:
        """A fresh snapshot; None = no table. Raise `RetryLater` (no answer) or `Corrupted` (unreadable log)."""
        try:
            return DeltaTable(self.uri, storage_options=self._options)
        except TableNotFoundError:
            return None
        except faults.DELTA_FAULTS as error:
            if isinstance(error, DeltaError) and self.log.set_aside_torn():
                return self.open()
            raise faults.unreadable(self.uri, error) from error

    def existing(self) -> DeltaTable:
        """A fresh snapshot; raise `MissingTable` when there is none, else as `open`."""
        table = self.open()
        if table is None:
            raise MissingTable(f"there is no table at {self.uri}", hint="`ensure` creates it from the rows' schema")
        return table

    def ensure(self, wanted: pa.Schema, partitioning: Partitioning) -> None:
        """Create the table, or add the columns it lacks, and flush that to disk."""
        for _ in range(ATTEMPTS):
            table = self.open() or self._created(wanted, partitioning)
            with faults.reading(self.uri):
                check_writable(table)
            evolution.check_partitioning(list(table.metadata().partition_columns), partitioning)
            missing = evolution.missing_columns(table.schema(), wanted)
            if not missing:
                with faults.reading(self.uri):
                    self.log.make_durable(table.version())
                return
            self._add(table, missing)
        raise RetryLater(f"others kept changing {self.uri} while its schema was to be extended")

    def checkpoint_when_due(self, table: DeltaTable, version: int | None) -> None:
        """After a commit of `version`; a failure only costs readers time, so it is logged and no more."""
        if version is None or version % CHECKPOINT_EVERY:
            return
        try:
            table.create_checkpoint()
            self.log.make_checkpoint_durable(table.version())
        except faults.DELTA_FAULTS as error:
            _logger.warning("no checkpoint for %s at version %s: %s", self.uri, version, faults.summary(error))

    def _created(self, wanted: pa.Schema, partitioning: Partitioning) -> DeltaTable:
        partition_by = [partitioning.column] if partitioning.column else None
        options = self._options or None
        try:
            self.log.prepare()
            DeltaTable.create(
                self.uri,
                wanted,
                partition_by=partition_by,
                storage_options=options,
                commit_properties=_NO_SECOND_TRY,
                post_commithook_properties=HOOKS,
            )
        except faults.DELTA_FAULTS as error:
            if (theirs := self.open()) is None:
                raise faults.not_committed(self.uri, error) from error
            return theirs
        return self.existing()

    def _add(self, table: DeltaTable, missing: list[Field]) -> None:
        """Another process may add the same columns first; the caller looks again in any case."""
        try:
            table.alter.add_columns(missing, post_commithook_properties=HOOKS)
        except CommitFailedError:
            return
        except faults.DELTA_FAULTS as error:
            raise faults.not_committed(self.uri, error) from error
