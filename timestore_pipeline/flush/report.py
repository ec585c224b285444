"""One log line for every flush that ends, in whichever process, and one for every claim that could not be taken."""

from __future__ import annotations

import logging
from datetime import timedelta

from timestore_pipeline.errors import FlushInFlight, TimestoreError
from timestore_pipeline.model.flush import Flush, FlushRef, Phase, RetryReason, Trigger
from timestore_pipeline.system.legible import LogEvent, Value

_log = logging.getLogger(__name__)


def log_published(flush: Flush) -> None:
    _log.info("%s", LogEvent("flush published", **_about(flush)))


def log_aborted(flush: Flush, reason: RetryReason, cause: BaseException | None) -> None:
    """cause: what made it fail, None when its process is gone."""
    described = _error(cause) if cause is not None else {"code": reason.value, "error": flush.error}
    _log.warning("%s", LogEvent("flush aborted", **_about(flush), reason=reason.value, **described))


def log_unsettled(ref: FlushRef, cause: BaseException, problem: Exception) -> None:
    """The phase failed, and the lake or the ledger does not let the flush end: the next one settles it."""
    why: dict[str, Value] = {"settling_failed": str(problem), **_error(cause)}
    _log.warning("%s", LogEvent("flush unsettled", dataset=ref.dataset, epoch=ref.epoch, **why))


def log_unclaimed(dataset: str, trigger: Trigger, run_id: str, took: timedelta, error: Exception) -> None:
    """A flush that is already in flight is no failure."""
    level = logging.INFO if isinstance(error, FlushInFlight) else logging.WARNING
    known: dict[str, Value] = {"dataset": dataset, "trigger": trigger.value, "run_id": run_id, "claim_seconds": took}
    _log.log(level, "%s", LogEvent("flush not claimed", **known, **_error(error)))


def _about(flush: Flush) -> dict[str, Value]:
    return {
        "dataset": flush.dataset,
        "epoch": flush.epoch,
        "trigger": flush.trigger.value,
        "run_id": flush.run_id,
        "outcome": flush.state.value,
        "batches": flush.volume.batches,
        "rows": flush.volume.rows,
        "bytes": flush.volume.bytes,
        "files": flush.files,
        "file_bytes": flush.file_bytes,
        "version": flush.version,
        "seconds": flush.duration,
        **{f"{phase}_seconds": flush.phases.get(phase) for phase in Phase},
    }


def _error(error: BaseException) -> dict[str, Value]:
    if isinstance(error, TimestoreError):
        return {"code": error.code, "error": str(error), "hint": error.hint or None}
    return {"code": "unexpected", "error": f"{type(error).__name__}: {error}"}
