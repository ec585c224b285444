"""Opening, creating and extending one Delta table, with every fault as one of the product's errors.

Creating and extending are safe to race: the losing process finds the winner's commit and continues from it. A crash
leaves either no table or a sound one. A log that a power loss tore is repaired when it is next opened (decision 0004).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties, Schema, TableFeatures
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from timestore_pipeline.errors import InvalidData, MissingTable, RetryLater
from timestore_pipeline.lake import faults, features, layout, table_schema
from timestore_pipeline.lake.actions import partition_of, without_bounds
from timestore_pipeline.lake.features import FEATURE, check_writable
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.log import DeltaLog

CHECKPOINT_EVERY = 50  # versions; a reader replays at most this many commits
ATTEMPTS = 20  # of a commit that conflicts with others; deltalake itself retries after harmless conflicts

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
            if isinstance(error, DeltaError) and (self.log.set_aside_torn() or self._repaired(error)):
                return self.open()
            raise faults.unreadable(self.uri, error) from error

    def existing(self) -> DeltaTable:
        """A fresh snapshot; raise `MissingTable` when there is none, else as `open`."""
        table = self.open()
        if table is None:
            raise MissingTable(f"there is no table at {self.uri}", hint="`ensure` creates it from the rows' schema")
        return table

    def ensure(self, wanted: pa.Schema, partitioning: Partitioning) -> None:
        """Create the table, or add the columns it lacks, and flush the log to disk."""
        for _ in range(ATTEMPTS):
            table = self.open() or self._created(wanted, partitioning)
            with faults.reading(self.uri):
                check_writable(table)
            table_schema.check_partitioning(list(table.metadata().partition_columns), partitioning)
            missing = table_schema.missing_columns(table.schema(), wanted)
            if not missing:
                with faults.reading(self.uri):
                    self.log.make_durable(table.version())
                return
            self._extend(table, missing)
        raise RetryLater(f"others kept changing {self.uri} while its schema was to be extended")

    def require_feature(self, fields: list[Field]) -> None:
        """Give the table the feature that columns will require; after a crash the table has it without need.

        Raise as a commit does.
        """
        for _ in range(ATTEMPTS):
            table = self.existing()
            if not _lacks_feature(table, fields):
                return
            self._add_feature(table, fields)
        raise RetryLater(f"others kept changing {self.uri} while it was to get the feature {FEATURE}")

    def checkpoint_when_due(self, table: DeltaTable, version: int | None) -> None:
        """After a commit of `version`; a failure costs readers time only, so it is logged."""
        if version is None or version % CHECKPOINT_EVERY:
            return
        try:
            table.create_checkpoint()
            self.log.make_checkpoint_durable(table.version())
        except faults.DELTA_FAULTS as error:
            _logger.warning("no checkpoint for %s at version %s: %s", self.uri, version, faults.summary(error))

    def _repaired(self, error: DeltaError) -> bool:
        """Add the feature to a table that deltalake gave a column without it; True = the table has it now."""
        if not faults.lacks_feature(error):
            return False
        try:
            repaired = features.add_feature(self.log)
        except OSError as refused:
            _logger.warning("%s cannot be repaired: %s", self.uri, refused)
            return False
        if repaired:
            _logger.warning("%s could not be opened: its protocol lacked %s, which was added", self.uri, FEATURE)
        return repaired

    def _created(self, wanted: pa.Schema, partitioning: Partitioning) -> DeltaTable:
        """The new table, without the columns whose feature deltalake overlooks; they are added like later ones."""
        partition_by = [partitioning.column] if partitioning.column else []
        fields = Schema.from_arrow(wanted).fields
        seen = Schema([field for field in fields if not features.is_overlooked(field)])
        try:
            self.log.prepare()
            if seen.fields:
                self._create(seen, partition_by)
            elif not features.create_table(self.log, Schema(fields), partition_by) and self.log.folder is None:
                raise _no_first_column(self.uri, fields)
        except faults.DELTA_FAULTS as error:
            if (theirs := self.open()) is None:
                raise faults.not_committed(self.uri, error) from error
            return theirs
        _warn_of_feature(self.uri, seen.fields or fields)
        return self.existing()

    def _create(self, schema: Schema, partition_by: list[str]) -> None:
        DeltaTable.create(
            self.uri,
            schema,
            partition_by=partition_by or None,
            storage_options=self._options or None,
            commit_properties=_NO_SECOND_TRY,
            post_commithook_properties=HOOKS,
        )

    def _extend(self, table: DeltaTable, missing: list[Field]) -> None:
        """The feature first, then the files' statistics, then the columns: a crash in between does no harm.

        Another process may make either change first; the caller opens the table again in any case.
        """
        if _lacks_feature(table, missing):
            self._add_feature(table, missing)
            return
        restated = _to_be_restated(table)
        with self._altering():
            if restated:
                _restate(table, restated)
            else:
                table.alter.add_columns(missing, post_commithook_properties=HOOKS)

    def _add_feature(self, table: DeltaTable, fields: list[Field]) -> None:
        with self._altering():
            table.alter.add_feature(
                TableFeatures.TimestampWithoutTimezone,
                allow_protocol_versions_increase=True,
                post_commithook_properties=HOOKS,
            )
            _warn_of_feature(self.uri, fields)

    @contextmanager
    def _altering(self) -> Iterator[None]:
        """A conflict is no failure: another process made a change first, and the caller opens the table again."""
        try:
            yield
        except CommitFailedError:
            return
        except faults.DELTA_FAULTS as error:
            raise faults.not_committed(self.uri, error) from error


def _lacks_feature(table: DeltaTable, fields: list[Field]) -> bool:
    return bool(features.local_times(fields)) and not features.is_supported(table.protocol())


def _restate(table: DeltaTable, files: list[AddAction]) -> None:
    """Without a retry: deltalake does not check whether a file was replaced meanwhile."""
    table.create_write_transaction(
        [*files],
        "append",
        table.schema(),
        list(table.metadata().partition_columns),
        commit_properties=CommitProperties(max_commit_retries=0),
        post_commithook_properties=HOOKS,
    )


def _to_be_restated(table: DeltaTable) -> list[AddAction]:
    """Files with bounds that a flush or compaction wrote: they lack null counts of new columns, see `completed`."""
    files = pa.table(table.get_add_actions()).to_pylist()
    return [
        without_bounds(file, partition_of(file))
        for file in files
        if layout.is_ours(unquote(file["path"])) and any(v is not None for v in (file.get("min") or {}).values())
    ]


def _warn_of_feature(uri: str, fields: list[Field]) -> None:
    """Log every rise of the protocol: readers without support for the feature cannot open the table."""
    if columns := features.local_times(fields):
        _logger.warning(
            "the table %s has the Delta feature %s (reader version 3) from now on, for timestamps without time zone in"
            " %s: readers without support for it cannot open the table, see docs/consumers.md",
            uri, FEATURE, ", ".join(columns),
        )  # fmt: skip


def _no_first_column(uri: str, fields: list[Field]) -> InvalidData:
    return InvalidData(
        f"the table {uri} would have nothing but maps of timestamps without time zone ({fields[0].name!r}), and such a"
        " table cannot be created in a bucket",
        hint="send one more column, or instants with a time zone",
    )
