"""Every error the product raises on purpose, grouped by what the caller should do about it.

| class | the caller should |
|---|---|
| `RetryLater` | try the same call again, with the same idempotency key, after `retry_after` |
| `InvalidInput` | change the data, the metadata or the configuration; trying again cannot help |
| `Conflict` | look at what is there already: a schema, an idempotency key, a newer epoch |
| `Corrupted` | keep the file, read the hint; nothing was deleted |
| `OutcomeUnknown` | ask again (`timestore recover`); it may have happened |

`code` is stable and machine-readable, `hint` is the remedy, for a person.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from timestore_pipeline.system.legible import legible


class TimestoreError(Exception):
    """Base of all; `str(error)` is one sentence that names the offender.

    Attributes:
        code: Names the class in logs, alerts and answers; it never changes.
        dataset (str | None): The dataset that it is about; None = unknown, or not about a single one.
        hint (str): The remedy, for a person; empty = none is known.
    """

    code: ClassVar[str] = "timestore_error"

    def __init__(self, message: str, *, dataset: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.dataset = dataset
        self.hint = legible(hint, lines=True)

    def __str__(self) -> str:
        """Escaped for display, because names and values in the message come from producers."""
        return legible(super().__str__(), lines=True)

    def to_dict(self) -> dict[str, str | None]:
        """The error in every JSON answer; the keys are a contract."""
        return {"code": self.code, "message": str(self), "dataset": self.dataset, "hint": self.hint}


def error_document(error: TimestoreError | None) -> dict[str, str | None] | None:
    """The error of a JSON answer that may have none."""
    return None if error is None else error.to_dict()


class RetryLater(TimestoreError):
    """Nothing was staged; the same call may succeed later.

    Attributes:
        retry_after (timedelta): How long to wait before the next attempt, at least.
    """

    code = "retry_later"

    def __init__(
        self,
        message: str,
        *,
        dataset: str | None = None,
        hint: str = "",
        retry_after: timedelta = timedelta(seconds=1),
    ) -> None:
        super().__init__(message, dataset=dataset, hint=hint)
        self.retry_after = retry_after


class QueueFull(RetryLater):
    """The dataset's in-memory queue holds `TIMESTORE_STAGING_MAX_PENDING` batches."""

    code = "queue_full"


class GuardrailExceeded(RetryLater):
    """A byte guardrail is reached and the mode is `hard`.

    Attributes:
        guardrail (str): `dataset_bytes` or `total_bytes`.
    """

    code = "guardrail_exceeded"

    def __init__(self, message: str, *, guardrail: str, dataset: str, hint: str, retry_after: timedelta) -> None:
        super().__init__(message, dataset=dataset, hint=hint, retry_after=retry_after)
        self.guardrail = guardrail


class DiskFull(RetryLater):
    """The filesystem of the staging directory or of the lake has no space left."""

    code = "disk_full"


class DiskFailing(RetryLater):
    """The system could not read or write a file; no row is to blame, and the file may be sound."""

    code = "disk_failing"


class OutOfMemory(RetryLater):
    """The rows of one sort do not fit `TIMESTORE_EXPORT_MEMORY_MB`; fewer rows may."""

    code = "out_of_memory"


class LedgerBusy(RetryLater):
    """Another process held the ledger's write lock until the wait for it timed out."""

    code = "ledger_busy"


class ManagerClosed(RetryLater):
    """The staging manager is closing; the batches it has accepted are still staged."""

    code = "manager_closed"


class FlushInFlight(RetryLater):
    """The dataset already has a claim whose process is alive; at most one is allowed."""

    code = "flush_in_flight"


class ReplayInProgress(RetryLater):
    """Another process stages a dataset's archived files again."""

    code = "replay_in_progress"


class MaintenanceInProgress(RetryLater):
    """Another process of the host maintains the dataset's table."""

    code = "maintenance_in_progress"


class DrainTimeout(RetryLater):
    """Batches were still pending or in flight when the time was up."""

    code = "drain_timeout"


class ServerBusy(RetryLater):
    """The HTTP server has reached its limit of concurrent requests."""

    code = "server_busy"


class SlowRequest(RetryLater):
    """A request's body did not arrive in time."""

    code = "slow_request"


class Interrupted(RetryLater):
    """A person stopped the work half-way; batches acknowledged before are safe."""

    code = "interrupted"


class InvalidInput(TimestoreError):
    """The input can never be accepted as it is."""

    code = "invalid_input"


class InvalidSettings(InvalidInput):
    """One or more environment variables are wrong.

    Attributes:
        problems (tuple[str, ...]): Each names a variable and what is wrong with it.
    """

    code = "invalid_settings"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("configuration refused: " + "; ".join(problems), hint="fix every variable named above")
        self.problems = tuple(problems)


class InvalidDatasetName(InvalidInput):
    """The name does not match `[a-z0-9][a-z0-9._-]{0,119}`."""

    code = "invalid_dataset_name"


class InvalidMetadata(InvalidInput):
    """Dataset metadata with an unknown key, a wrong type or contradictory limits."""

    code = "invalid_metadata"


class DatasetsRefused(InvalidInput):
    """What a file says of some datasets cannot hold; nothing of the file was applied."""

    code = "datasets_refused"

    def __init__(self, problems: Sequence[TimestoreError], *, of: int) -> None:
        names = ", ".join(str(problem.dataset) for problem in problems)
        super().__init__(
            f"{len(problems)} of {of} datasets are refused, and nothing was changed: {names}",
            hint="correct what is named, and apply the file again",
        )
        self.problems = tuple(problems)


class InvalidFlushSettings(InvalidInput):
    """A value for one flush, or for a run's flushes, that contradicts another one or the dataset's columns."""

    code = "invalid_flush_settings"


class InvalidData(InvalidInput):
    """Rows that cannot be represented without loss; names the column.

    Attributes:
        row: Index in the batch, from 0; None = unknown, or not about a single row.
    """

    code = "invalid_data"
    row: int | None = None


class UnreadableInput(InvalidInput):
    """A file or body that does not match its name or content type."""

    code = "unreadable_input"


class BodyTooLarge(InvalidInput):
    """A body that is larger than `TIMESTORE_API_MAX_BODY_BYTES`, as sent or after decompression."""

    code = "body_too_large"


class UnsupportedType(InvalidInput):
    """A body in a format or encoding that the server does not read."""

    code = "unsupported_type"


class Unauthenticated(InvalidInput):
    """A request without a bearer token."""

    code = "unauthenticated"


class InvalidToken(Unauthenticated):
    """A request whose bearer token is not, or no longer, one of the server's."""

    code = "invalid_token"


class Forbidden(InvalidInput):
    """A request that its token's rights do not cover.

    Attributes:
        token (str): The token's name.
        right (str): The missing right: `stage`, `read` or `operate`.
        dataset (str | None): On which dataset; None = on all of them.
    """

    code = "forbidden"

    def __init__(self, message: str, *, token: str, right: str, dataset: str | None = None, hint: str = "") -> None:
        super().__init__(message, dataset=dataset, hint=hint)
        self.token = token
        self.right = right


class ServerFileRefused(InvalidInput):
    """A file of the HTTP server, which lists its tokens or is its certificate, cannot be used."""

    code = "server_file_refused"


class ForeignHost(InvalidInput):
    """A request to a server without a token, under a name that is not this machine's own."""

    code = "foreign_host"


class ForeignSite(InvalidInput):
    """A request that a browser sends for a web page of another site."""

    code = "foreign_site"


class InvalidQuery(InvalidInput):
    """SQL that DuckDB refuses, or whose data it cannot read."""

    code = "invalid_query"


class UnwritableOutput(InvalidInput):
    """A file that was asked for cannot be written where it should go."""

    code = "unwritable_output"


class MissingExtra(InvalidInput):
    """The feature needs packages of an optional extra that is not installed."""

    code = "missing_extra"


class UnknownDataset(InvalidInput):
    """Nothing was ever staged under this name."""

    code = "unknown_dataset"


class UndeclaredDataset(InvalidInput):
    """A batch for a dataset that was not declared, where `TIMESTORE_DATASETS=declared` requires it."""

    code = "undeclared_dataset"

    def __init__(self, name: str, declared: Sequence[str]) -> None:
        nearest = difflib.get_close_matches(name, declared, n=1)
        meant = f"; the nearest that is declared is {nearest[0]!r}" if nearest else ""
        super().__init__(
            f"dataset {name!r} is not declared{meant}",
            dataset=name,
            hint=f"correct the name, or declare it before its first batch: `timestore datasets set {name} '{{}}'`",
        )


class TooLittleHistory(InvalidInput):
    """A dataset has not been flushed often enough to derive advice from its history."""

    code = "too_little_history"


class UnknownIncident(InvalidInput):
    """No incident in quarantine has this number."""

    code = "unknown_incident"


class AccessDenied(InvalidInput):
    """The system refuses a file of the staging directory or of the lake: wrong owner or mode, or read-only."""

    code = "access_denied"


class BatchTooLarge(InvalidInput):
    """A batch that an export cannot hold even alone, within `TIMESTORE_EXPORT_MEMORY_MB`."""

    code = "batch_too_large"


class NotImportable(InvalidInput):
    """A path with nothing to import, or with files that belong to a table."""

    code = "not_importable"


class LandingUnusable(InvalidInput):
    """There is no landing folder, or the system denies listing it or moving files in it."""

    code = "landing_unusable"


class Conflict(TimestoreError):
    """The request contradicts what is already there."""

    code = "conflict"


class NotDrained(Conflict):
    """Several datasets cannot be published, for reasons that waiting does not resolve."""

    code = "not_drained"


class SchemaConflict(Conflict):
    """A column changes its type in a way that would lose or reinterpret published data.

    Attributes:
        column (str): Its name.
        existing (str): The type that it has.
        incoming (str): The type of the refused batch or declaration.
    """

    code = "schema_conflict"

    def __init__(self, message: str, *, column: str, existing: str, incoming: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.column = column
        self.existing = existing
        self.incoming = incoming


class LayoutUndecided(Conflict):
    """No row of the dataset has a time yet, and its metadata postpone publishing until one has."""

    code = "layout_undecided"


class IdempotencyConflict(Conflict):
    """An idempotency key was used again for different data."""

    code = "idempotency_conflict"


class Fenced(Conflict):
    """The claim's epoch was burnt or overtaken: its holder must stop, its batches are already safe."""

    code = "fenced"


class DatasetInUse(Conflict):
    """Batches of the dataset are staged, in flight or quarantined, so the dataset cannot be removed."""

    code = "dataset_in_use"


class MissingTable(Conflict):
    """The dataset has no table in the lake yet."""

    code = "missing_table"


class UnsupportedTable(Conflict):
    """Another tool gave the dataset's table a feature or a constraint that flushes cannot satisfy."""

    code = "unsupported_table"


class FileChanged(Conflict):
    """A file was written to while it was read: the staged rows may be a part of it."""

    code = "file_still_written"


class RowsPresent(Conflict):
    """Rows that should be published again are already in the lake."""

    code = "rows_present"


class LedgerMismatch(Conflict):
    """The ledger belongs to another shard or to a newer version of the format."""

    code = "ledger_mismatch"


class ShardConflict(Conflict):
    """Another ledger publishes under this shard's name, or did.

    Attributes:
        ledger_id (str): The other ledger's.
    """

    code = "shard_conflict"

    def __init__(self, message: str, *, ledger_id: str, dataset: str, hint: str) -> None:
        super().__init__(message, dataset=dataset, hint=hint)
        self.ledger_id = ledger_id


class Corrupted(TimestoreError):
    """A file is damaged; it was left in place or quarantined, never deleted."""

    code = "corrupted"


class LedgerLost(Corrupted):
    """Segments are staged and the ledger that lists them is gone; `timestore recover` rebuilds it."""

    code = "ledger_lost"


class UnreadableLedger(Corrupted):
    """SQLite cannot read the ledger, or a part of it."""

    code = "unreadable_ledger"


class LedgerIncomplete(Corrupted):
    """Batches are pending in segments that the ledger does not list, or lists as quarantined: no flush takes them."""

    code = "ledger_incomplete"


class UnreadableTable(Corrupted):
    """The Delta log of a table cannot be read, or a file lies where a folder of the lake should be."""

    code = "unreadable_table"


class UnreadableSegment(Corrupted):
    """A segment file is missing or DuckDB cannot read it."""

    code = "unreadable_segment"


class AllSetAside(Corrupted):
    """Every batch of a claim was quarantined: the flush ended without publishing anything."""

    code = "all_set_aside"


class OutcomeUnknown(TimestoreError):
    """A publish may or may not have happened; only the Delta log shows which."""

    code = "outcome_unknown"


class NotAcknowledged(OutcomeUnknown):
    """A batch was sent to a server and no receipt came back: it may be staged.

    Attributes:
        idempotency_key: Sending the same rows again under it stages them once; None = the batch had no key yet.
    """

    code = "not_acknowledged"
    idempotency_key: str | None = None


class UnsentRows(OutcomeUnknown):
    """Rows that a batcher could not get acknowledged.

    Attributes:
        batches (tuple[tuple[str, pyarrow.Table], ...]): Idempotency key and Arrow table of each batch with such rows.
    """

    code = "unsent_rows"

    def __init__(self, message: str, *, batches: Sequence[tuple[str, Any]], dataset: str, hint: str) -> None:
        super().__init__(message, dataset=dataset, hint=hint)
        self.batches = tuple(batches)
