"""Whether an epoch is published: read from the Delta log, and settled there once for all.

A commit that carries `txn(app_id, epoch)` settles the epoch: published, or burnt when it also carries
`txn(app_id/burnt, epoch)`. Epochs of an app id only grow, so a table that has passed an epoch no longer accepts it.
A crash at any point leaves the epoch settled or open, and the log shows which. Decision 0003.

An epoch is a number, and two ledgers may reach the same one: a new staging directory, a ledger restored from a backup,
two hosts with one shard name. So a commit also names the claim it carries. For every other claim the epoch is burnt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction, RemoveAction

from timestore_pipeline.errors import RetryLater, TimestoreError
from timestore_pipeline.lake import faults
from timestore_pipeline.lake.actions import completed
from timestore_pipeline.lake.handle import ATTEMPTS, HOOKS, TableHandle
from timestore_pipeline.lake.log import BURNT_SUFFIX, METADATA_KEY
from timestore_pipeline.model.lake import EpochOutcome


@dataclass(frozen=True, slots=True)
class EpochCommit:
    """The commit that will settle an epoch. `metadata["claim"]` identifies the claim; None = the epoch alone does."""

    app_id: str
    epoch: int
    burn: bool
    adds: Sequence[AddAction]
    metadata: Mapping[str, Any]
    removes: Sequence[RemoveAction] = ()
    schema: Schema | None = None  # the table's new schema, with `adds` as its only files; None = the columns stay
    marks: Sequence[Transaction] = ()  # further transaction identifiers
    check: Callable[[DeltaTable], None] | None = None  # raises when the commit must not be made on top of a snapshot

    def properties(self) -> CommitProperties:
        """deltalake must not rebase a commit that removes files: it does not check that they are still there."""
        marks = [Transaction(self.app_id, self.epoch), *self.marks]
        if self.burn:
            marks.append(Transaction(self.app_id + BURNT_SUFFIX, self.epoch))
        text = json.dumps(self.metadata, sort_keys=True)
        retries = 0 if self.removes or self.schema is not None else None
        return CommitProperties(
            custom_metadata={METADATA_KEY: text}, max_commit_retries=retries, app_transactions=marks
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """How an epoch is settled; never ABSENT."""

    outcome: EpochOutcome
    version: int | None  # of the commit that carries the epoch; None = skipped, or log cleanup has removed the commit
    claim: str | None = None  # the claim whose rows that commit carries


def settle(handle: TableHandle, commit: EpochCommit) -> Settled:
    """Commit unless the epoch is settled already; return how it is settled in the end.

    Check and commit use one snapshot, and deltalake refuses a commit whose app id has moved since its snapshot. After
    a refusal the loop starts over with a fresh snapshot and a fresh check; after a success, too, to read the result
    from the log.
    """
    for attempt in range(ATTEMPTS):
        try:
            table = handle.existing()
            settled = settled_in(handle, table, commit.app_id, commit.epoch)
        except TimestoreError as error:
            if attempt == 0:
                raise
            raise faults.unknown(handle.uri, commit.epoch, error) from error  # the last attempt may have committed
        if settled is not None:
            handle.checkpoint_when_due(table, settled.version)
            return _as_seen_by(commit.metadata.get("claim"), settled)
        if commit.check is not None:
            commit.check(table)
        _try_commit(handle, table, commit)
    raise RetryLater(f"others kept committing to {handle.uri} while epoch {commit.epoch} was to be settled")


def settled_in(handle: TableHandle, table: DeltaTable, app_id: str, epoch: int) -> Settled | None:
    """How the epoch is settled in this snapshot, flushed to disk before it is returned; None = it is not settled.

    Raise `OutcomeUnknown` when the log cannot be read, or no longer has the commit of an epoch long passed.
    """
    with faults.reading(handle.uri):
        reached = table.transaction_version(app_id)
        burnt = table.transaction_version(app_id + BURNT_SUFFIX)
    if reached is None or reached < epoch:
        return None
    try:
        handle.log.make_durable(table.version())
        found = handle.log.find(app_id, epoch)
    except LookupError as gone:
        if reached > epoch:
            raise faults.unknown(handle.uri, epoch, gone) from gone
        return Settled(_outcome(burnt == epoch), None)
    except OSError as error:
        raise faults.unknown(handle.uri, epoch, error) from error
    if found is None:  # skipped: a later epoch is in the log, so this one can no longer be committed
        return Settled(EpochOutcome.BURNT, None)
    return Settled(_outcome(found.burnt), found.version, found.claim)


def _as_seen_by(claim: str | None, settled: Settled) -> Settled:
    """If another claim published under this epoch, the epoch is burnt for `claim`."""
    if settled.version is None or settled.claim == claim:
        return settled
    return Settled(EpochOutcome.BURNT, settled.version)


def _outcome(burnt: bool) -> EpochOutcome:
    return EpochOutcome.BURNT if burnt else EpochOutcome.PUBLISHED


def _try_commit(handle: TableHandle, table: DeltaTable, commit: EpochCommit) -> None:
    """Return when the epoch is settled, or when a conflict calls for a fresh snapshot; raise when it stays open."""
    try:
        columns = [field.name for field in table.schema().fields if isinstance(field.type, PrimitiveType)]
        described = set(columns) - set(table.metadata().partition_columns)
        table.create_write_transaction(
            [*(completed(add, described) for add in commit.adds), *commit.removes],
            "append" if commit.schema is None else "overwrite",
            commit.schema or table.schema(),
            list(table.metadata().partition_columns),
            commit_properties=commit.properties(),
            post_commithook_properties=HOOKS,
        )
    except CommitFailedError as error:
        if faults.is_unsupported(error):
            raise faults.unsupported(handle.uri, error) from error
    except faults.DELTA_FAULTS as error:
        _after_failure(handle, commit, error)


def _after_failure(handle: TableHandle, commit: EpochCommit, error: Exception) -> None:
    """Unknown is not failed: the commit may have been made although its answer was lost, so read the log."""
    try:
        settled = settled_in(handle, handle.existing(), commit.app_id, commit.epoch)
    except TimestoreError as unreadable:
        raise faults.unknown(handle.uri, commit.epoch, unreadable) from error
    if settled is None:
        raise faults.not_committed(handle.uri, error) from error
