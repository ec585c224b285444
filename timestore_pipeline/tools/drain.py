"""Publishes datasets in this process: one flush after another, until a dataset or all of them are empty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from timestore_pipeline.errors import (
    AllSetAside,
    Conflict,
    DrainTimeout,
    Fenced,
    InvalidInput,
    LedgerIncomplete,
    NotDrained,
    OutcomeUnknown,
    RetryLater,
    TimestoreError,
)
from timestore_pipeline.model.flush import Backlog, Flush, Trigger
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

if TYPE_CHECKING:  # what flushes is imported where it does: to ask for a flush takes no DuckDB
    from timestore_pipeline.staging.journal import LeftOut

_POLL = 0.1  # seconds between looks at flushes that others work on
_CURED_BY_TIME = (RetryLater, OutcomeUnknown, Fenced, AllSetAside)


@dataclass(frozen=True, slots=True)
class FlushAttempt:
    """The result of flushing one dataset once."""

    dataset: str
    flush: Flush | None = None  # None = there was nothing that could be claimed
    left_out: tuple[LeftOut, ...] = ()  # journals that cannot be read now
    error: TimestoreError | None = None

    @property
    def failed(self) -> bool:
        """Something is staged, and nothing of it was published."""
        return self.flush is None and (self.error is not None or bool(self.left_out))

    @property
    def obstacle(self) -> TimestoreError | None:
        """Why nothing was published."""
        refused = [left.refused for left in self.left_out]
        return self.error or (refused[0] if self.flush is None and refused and all(refused) else None)

    @property
    def found_nothing(self) -> bool:
        return self.flush is None and not self.failed


def flush_now(store: Timestore, dataset: str, run_id: str) -> FlushAttempt:
    """All four phases in this process; an error is part of the result, so that other datasets can continue."""
    left_out: tuple[LeftOut, ...] = ()
    try:
        settings = store.flush_settings(dataset)
        claim = store.pipeline.claim(dataset, Trigger.MANUAL, run_id, store.claim_bytes(settings))
        left_out = claim.left_out
        flush = store.pipeline.carry_out(claim, store.export_options(settings), settings)
        return FlushAttempt(dataset, flush, left_out)
    except TimestoreError as error:
        return FlushAttempt(dataset, None, left_out, error)


def flush_all_now(store: Timestore, dataset: str, run_id: str) -> list[FlushAttempt]:
    """Flush until everything that is staged now is published; one flush is enough unless there are many batches."""
    begun = clock.now()
    attempts = [flush_now(store, dataset, run_id)]
    while attempts[-1].flush is not None:
        without = [left.journal_id for left in attempts[-1].left_out]
        if not store.area.ledger.batches.waits(dataset, begun, without):
            break
        attempts.append(flush_now(store, dataset, run_id))
    return attempts


@dataclass
class Drain:
    """Flushes until the datasets are empty, including flushes of other processes and batches that arrive meanwhile."""

    store: Timestore
    datasets: Sequence[str]  # none = all, also those that appear meanwhile
    run_id: str
    flushed: list[Flush] = field(default_factory=list)
    _failed: dict[str, TimestoreError] = field(default_factory=dict)
    _last: dict[str, FlushAttempt] = field(default_factory=dict)
    _strikes: Counter[str] = field(default_factory=Counter)  # attempts in a row that time does not explain

    def run(self, timeout: float) -> None:
        """timeout: seconds. Raises `DrainTimeout`, or earlier the error of a dataset, once only datasets are left that
        cannot be flushed without an operator.

        For several such datasets the error is one `NotDrained`.
        """
        deadline = clock.monotonic() + timeout
        while waiting := self._waiting():
            for backlog in waiting:
                self._attempt(backlog)
            if clock.monotonic() >= deadline and (left := self._waiting()):
                raise self._timeout(left, timeout)
            clock.sleep(_POLL)
        if len(self._failed) > 1:
            raise self._not_drained()
        for error in self._failed.values():
            raise error

    def quarantined(self) -> int:
        """Batches of the datasets that no flush will publish."""
        return sum(backlog.quarantined.batches for backlog in self._ours(self.store.area.backlogs()))

    def _waiting(self) -> list[Backlog]:
        """Datasets with pending or in-flight batches that are worth another attempt."""
        return [b for b in self._ours(self.store.area.waiting()) if b.dataset not in self._failed]

    def _ours(self, backlogs: list[Backlog]) -> list[Backlog]:
        return [b for b in backlogs if not self.datasets or b.dataset in self.datasets]

    def _attempt(self, backlog: Backlog) -> None:
        if backlog.claim_owner_alive:
            return  # another process flushes it; the rest is flushed here afterwards
        attempt = self._last[backlog.dataset] = flush_now(self.store, backlog.dataset, self.run_id)
        if attempt.flush is not None:
            self.flushed.append(attempt.flush)
        self._judge(backlog.dataset, attempt.obstacle)

    def _judge(self, dataset: str, obstacle: TimestoreError | None) -> None:
        if obstacle is None or isinstance(obstacle, _CURED_BY_TIME):
            self._strikes[dataset] = 0
            return
        self._strikes[dataset] += 1
        if (
            isinstance(obstacle, (InvalidInput, Conflict, LedgerIncomplete))
            or self._strikes[dataset] >= _most_strikes()
        ):
            self._failed[dataset] = obstacle

    def _not_drained(self) -> NotDrained:
        listed = "; ".join(f"{dataset}: {error}" for dataset, error in self._failed.items())
        hints = dict.fromkeys(error.hint for error in self._failed.values() if error.hint)
        return NotDrained(
            f"{len(self._failed)} datasets cannot be published as things are: {listed}",
            dataset=next(iter(self._failed)),
            hint="; ".join(hints),
        )

    def _timeout(self, left: Sequence[Backlog], timeout: float) -> DrainTimeout:
        listed = "; ".join(f"{b.dataset}: {b.pending.rows} rows pending, {b.in_flight.rows} in flight" for b in left)
        return DrainTimeout(
            f"not empty after {timeout:g} s: {listed}{''.join(self._reasons(left))}",
            dataset=left[0].dataset,
            hint="stop the producers, see `timestore explain`, or allow more time with --timeout",
        )

    def _reasons(self, left: Sequence[Backlog]) -> list[str]:
        attempts = [self._last[backlog.dataset] for backlog in left if backlog.dataset in self._last]
        errors = [f"; {a.dataset}: {a.error}" for a in attempts if a.error is not None]
        errors += [f"; {dataset}: {error}" for dataset, error in self._failed.items()]
        return errors + [f"; {a.dataset}: journal {u.journal_id}: {u.reason}" for a in attempts for u in a.left_out]


def _most_strikes() -> int:
    """Flushes of a dataset in a row that fail for no known reason: by then a search has set the bad batch aside."""
    from timestore_pipeline.flush.export_with_quarantine import ATTEMPTS_BEFORE_ISOLATION

    return ATTEMPTS_BEFORE_ISOLATION + 2
