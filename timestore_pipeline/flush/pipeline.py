"""One flush from claim to finalize, each phase callable on its own: ops call one phase, the command line all four.

    claim -> export -> publish -> finalize
      |        |          |
      +--------+----------+--> abandon: the batches are pending again, or, if the log says so, published after all

Between phases everything lives in the ledger, so the next phase may run in another process. A phase that fails
abandons its own flush before it raises; a phase whose process dies leaves that to the next flush of the dataset.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from timestore_pipeline.errors import Fenced, FlushInFlight, Interrupted, TimestoreError
from timestore_pipeline.flush.claim import Claim, claim_backlog, most_bytes_now, narrowing
from timestore_pipeline.flush.export import ExportOptions
from timestore_pipeline.flush.export_with_quarantine import export_relieved
from timestore_pipeline.flush.failure_policy import block_if_configured_wrong
from timestore_pipeline.flush.report import log_published, log_unclaimed, log_unsettled
from timestore_pipeline.flush.settle import settle
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.flush import Flush, FlushRef, FlushState, Phase, RetryReason, Trigger
from timestore_pipeline.model.lake import app_id, commit_info
from timestore_pipeline.model.thresholds import FlushSettings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.roll_up import remove_idle_journals
from timestore_pipeline.staging.scratch import remove_abandoned
from timestore_pipeline.system import clock

_log = logging.getLogger(__name__)


class FlushPipeline:
    """The four phases, bound to one staging directory and one lake."""

    def __init__(
        self,
        area: StagingArea,
        lake: Lake,
        *,
        most_bytes: Callable[[str], int],
        retention: timedelta,
        configuration: Callable[[str], str],
    ) -> None:
        """most_bytes: of a claim of the dataset with this name. retention: of idempotency keys.

        configuration: digest of what a flush of the dataset with this name depends on, see `Block`.
        """
        self._area = area
        self._lake = lake
        self._most_bytes = most_bytes
        self._retention = retention
        self._configuration = configuration

    def claim(self, dataset: str, trigger: Trigger, run_id: str, most_bytes: int | None = None) -> Claim:
        """Settle what was interrupted, take the next epoch; raises `FlushInFlight`, `UnknownDataset`.

        most_bytes: of the claim; None = as the settings of now say.
        """
        began_at = clock.now()
        try:
            usual = self._most_bytes(dataset) if most_bytes is None else most_bytes
            most_bytes = most_bytes_now(self._area, dataset, usual)
            claim = claim_backlog(self._area, self._lake, dataset, trigger, run_id, most_bytes)
        except Exception as error:
            log_unclaimed(dataset, trigger, run_id, clock.now() - began_at, error)
            self._note(partial(self._block_if_configured_wrong, dataset, error))
            raise
        if claim.ref is not None:
            self._note(partial(self._area.ledger.phases.began, claim.ref, Phase.CLAIM, began_at))
        return claim

    def export(self, ref: FlushRef, options: ExportOptions) -> Flush:
        """Write the claim's Parquet files; durable and invisible.

        Done again, it changes nothing: the files that are recorded may be published already.
        """
        with self._working_on(ref, Phase.EXPORT), narrowing(self._area, ref):
            if self._area.ledger.flushes.get(ref).state is FlushState.CLAIMED:
                export_relieved(self._area, self._lake, ref, options)
        return self._area.ledger.flushes.get(ref)

    def publish(self, ref: FlushRef, settings: FlushSettings | None = None) -> int | None:
        """Commit all files at once; returns the table version, None when it was published and the log has forgotten.

        settings: those that were in force, which the commit names; None = it names none.
        Raises `Fenced` when the epoch was burnt or overtaken; its batches are then pending or published by others.
        """
        with self._working_on(ref, Phase.PUBLISH):
            info = self._commit_info(self._exported(ref), settings)
            files = self._area.ledger.flushes.files(ref)
            return self._lake.table(ref.dataset).publish(app_id(self._area.shard, ref.dataset), ref.epoch, files, info)

    def finalize(self, ref: FlushRef, version: int | None) -> Flush:
        """Mark the batches published, then free the space. A crash in between leaves files the next flush removes."""
        self._note(partial(self._area.ledger.phases.began, ref, Phase.FINALIZE, clock.now()))
        try:
            news = self._area.ledger.flushes.finalize(ref, version)
        finally:
            self._area.held_claims.discard(ref)  # one that could not be finalized now is the next flush's to settle
        flush = self._area.ledger.flushes.get(ref)
        if news:
            log_published(flush)
        self._tidy(ref.dataset)
        return flush

    def run(
        self,
        dataset: str,
        trigger: Trigger,
        run_id: str,
        options: ExportOptions,
        settings: FlushSettings | None = None,
    ) -> Flush | None:
        """All four phases; None when there was nothing to flush. Raises `AllSetAside` and what the phases raise."""
        claim = self.claim(dataset, trigger, run_id)
        for left in claim.left_out:
            _log.warning("dataset %s: journal %s is left out: %s", dataset, left.journal_id, left.reason)
        return self.carry_out(claim, options, settings)

    def carry_out(self, claim: Claim, options: ExportOptions, settings: FlushSettings | None = None) -> Flush | None:
        """The three phases that follow a claim; None when it is empty. Raises as `run` does."""
        if claim.ref is None:
            return None
        self.export(claim.ref, options)
        return self.finalize(claim.ref, self.publish(claim.ref, settings))

    def give_back(self) -> None:
        """Settle every claim of this process: it stops where it is, and no other process should wait for it."""
        for ref in self._mine():
            hint = "its batches are pending again, unless the Delta log has them"
            self._abandon(
                ref, Interrupted(f"stopped while flush {ref.epoch} was in hand", dataset=ref.dataset, hint=hint)
            )

    def _mine(self) -> list[FlushRef]:
        """From the ledger too: an interruption right after its commit leaves a claim that this process never noted."""
        try:
            known = self._area.ledger.flushes.in_flight()
        except TimestoreError as problem:
            _log.warning("only the claims in hand are given back: %s", problem)
            known = []
        me = self._area.identity.process_id
        owned = {FlushRef(flush.dataset, flush.epoch) for flush in known if flush.owner == me}
        return sorted(owned.union(self._area.held_claims), key=lambda ref: (ref.dataset, ref.epoch))

    def _tidy(self, dataset: str) -> None:
        """The rows are published: a file that cannot be removed yet is no failure of the flush."""
        before = clock.now() - self._retention
        try:
            self._area.tidy_segments(dataset)
            remove_idle_journals(self._area)
            self._area.ledger.published.fold(dataset)
            self._area.ledger.published.prune(dataset, before)
            self._area.identity.forget_dead()
            remove_abandoned(self._area)
        except (TimestoreError, OSError) as problem:
            _log.warning("dataset %s: files of published batches could not be removed yet: %s", dataset, problem)

    def _note(self, write: Callable[[], None]) -> None:
        """Write a fact that only the log needs; it may get lost."""
        try:
            write()
        except TimestoreError as problem:
            _log.warning("the times of a phase could not be recorded: %s", problem)

    def _block_if_configured_wrong(self, dataset: str, error: BaseException) -> None:
        block_if_configured_wrong(self._area, dataset, error, self._configuration(dataset))

    @contextmanager
    def _working_on(self, ref: FlushRef, phase: Phase) -> Iterator[None]:
        """Own the claim during a phase; abandon it when the phase fails, also when it is interrupted by a signal.

        Also when the phase cannot even begin: a claim of this process that is not carried on would block its dataset.
        """
        instants, owner, began_at = self._area.ledger.phases, self._area.identity.process_id, clock.now()
        try:
            self._adopt(ref)
            yield
        except BaseException as error:
            self._note(partial(instants.failed, ref, phase, began_at, owner))
            self._abandon(ref, error)
            self._note(partial(self._block_if_configured_wrong, ref.dataset, error))
            raise
        self._note(partial(instants.ended, ref, phase, began_at, owner))

    def _exported(self, ref: FlushRef) -> Flush:
        """The flush, if there is something to publish: a commit without its files would spend the epoch for nothing."""
        flush = self._area.ledger.flushes.get(ref)
        if flush.state is not FlushState.EXPORTED:
            raise Fenced(
                f"flush {ref.epoch} of dataset {ref.dataset!r} has not been exported",
                dataset=ref.dataset,
                hint="its batches are pending again; the next flush takes them",
            )
        return flush

    def _commit_info(self, flush: Flush, settings: FlushSettings | None) -> dict[str, Any]:
        ledger = self._area.ledger
        batches = ledger.batches.rows_of_flush(FlushRef(flush.dataset, flush.epoch))
        complete_until = ledger.batches.complete_until(flush.dataset, with_claim=True)
        record = ledger.datasets.get(flush.dataset)
        layout = record.time_column, record.granularity
        info = commit_info(self._area.shard, flush, ledger.identity, batches, complete_until, *layout)
        return info if settings is None else {**info, "settings": settings.to_dict()}

    def _adopt(self, ref: FlushRef) -> None:
        """Take the claim over from the process of the phase before; refuse while another one works on it."""
        flush = self._area.ledger.flushes.get(ref)
        mine = flush.owner == self._area.identity.process_id
        if mine and ref in self._area.held_claims and flush.finished_at is None:
            return
        if not mine and not self._area.is_interrupted(flush):
            raise FlushInFlight(
                f"flush {ref.epoch} of dataset {ref.dataset!r} is worked on by process {flush.owner}",
                dataset=ref.dataset,
                hint="wait for it to end",
            )
        self._area.ledger.flushes.adopt(ref, self._area.identity.process_id, flush.owner)
        self._area.held_claims.add(ref)

    def _abandon(self, ref: FlushRef, error: BaseException) -> None:
        """If even this fails the flush stays in flight, not held by anyone, and the next flush settles it."""
        self._area.held_claims.discard(ref)
        try:
            flush = self._area.ledger.flushes.get(ref)
            mine = (
                flush.owner == self._area.identity.process_id
            )  # else another process has taken it over, for good reason
            if mine and flush.state not in (FlushState.PUBLISHED, FlushState.ABORTED):
                settle(self._area, self._lake, flush, RetryReason.of(error), str(error) or type(error).__name__, error)
        except (TimestoreError, OSError) as problem:
            log_unsettled(ref, error, problem)
