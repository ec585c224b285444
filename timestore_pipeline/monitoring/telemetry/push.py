"""Pushes to a Pushgateway without ever delaying the work that is measured.

A push replaces the shard's whole group with the current durable state, so the next push, from any process, makes up for
a failed one, and there are no retries here. Series of removed datasets disappear the same way.

Ticks, runs and producers push if a push is due: a flush has ended since the last one, or the last one is as old as
`TIMESTORE_METRICS_PUSH_INTERVAL_MS`. After a failure no process of the shard pushes, for a pause that doubles up to a
minute. So while hooks and the sensor run and the gateway answers, a flush's counters are pushed when its run ends (or
at the next check, if another push was in progress: pushes run one by one, so that none overtakes another), and all
other series an interval and a tick later. If the gateway does not answer, a run waits for it only at its end, no
process waits longer than `DEADLINE`, and hardly more than one process a minute waits at all. A producer that ends
beside another push waits as long once more, for its turn.
"""

from __future__ import annotations

import logging
import urllib.request
from datetime import datetime, timedelta

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.monitoring.telemetry.delivery import Address, Delivery
from timestore_pipeline.monitoring.telemetry.metrics import CONTENT_TYPE, exposition
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.pushes import PushState
from timestore_pipeline.system import clock

JOB = "timestore"
DEADLINE = 2.0  # seconds that a gateway has to answer

_ASK_AGAIN = 0.05  # seconds between two looks at another process's push

_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(minutes=1)

_OVERDUE = timedelta(seconds=30)  # well before the alert on a silent shard

_log = logging.getLogger(__name__)


def push_if_due(area: StagingArea, settings: Settings) -> bool:
    """Push if a gateway is configured and a push is due; False when a push failed. Never raises."""
    push = begin_if_due(area, settings)
    return push is None or push.settle()


def begin_if_due(area: StagingArea, settings: Settings) -> Push | None:
    """Start a push if one is due, without waiting for the answer; never raises.

    None if no push is due, or another is in progress: later changes are due afterwards.
    """
    if not settings.pushgateway_url:
        return None
    try:
        if not _is_due_now(area, settings) or not _begins(area):
            return None
    except TimestoreError:
        pass  # the push will log the error
    return Push(area, settings)


def push_if_overdue(area: StagingArea, settings: Settings) -> bool:
    """`push_if_due` for a process that should not wait for a gateway, because another one usually pushes soon."""
    try:
        tried = area.ledger.pushes.state().tried
    except TimestoreError:
        tried = None
    if tried is not None and timedelta(0) <= clock.now() - tried < _OVERDUE:
        return True
    return push_if_due(area, settings)


def push_before_leaving(area: StagingArea, settings: Settings) -> bool:
    """`push_if_due` of a process that ends: a push is due at once if batches are in no series yet.

    Another push in progress may have read the ledger before the last batch, and there is no later check: it is waited
    for, no longer than `DEADLINE`.
    """
    deadline = clock.monotonic() + DEADLINE
    try:
        while settings.pushgateway_url and (_is_due_now(area, settings) or _has_unreported(area)):
            if _begins(area):
                return Push(area, settings).settle()
            if clock.monotonic() >= deadline:
                return False
            clock.sleep(_ASK_AGAIN)
    except TimestoreError:
        return Push(area, settings).settle()  # it logs the error
    return True


def is_due(state: PushState, flushes_ended: int, now: datetime, interval: timedelta) -> bool:
    """flushes_ended: up to now. A last try in the future means that the clock was set back."""
    if state.tried is None or state.tried > now:
        return True
    if state.failures_in_a_row:
        first, longest = _FIRST_PAUSE.total_seconds(), _LONGEST_PAUSE.total_seconds()
        pause = clock.backoff(first, state.failures_in_a_row, longest)
        return now - state.tried >= timedelta(seconds=pause)
    return flushes_ended != state.flushes_ended or now - state.tried >= interval


def push_metrics(area: StagingArea, settings: Settings) -> bool:
    """PUT every series of this shard under job="timestore", shard=…, due or not; True when the gateway accepted it.

    Never raises, and waits for the gateway no longer than `DEADLINE`: False when none is configured, or it is
    unreachable, slow or refuses.
    """
    return settings.pushgateway_url is not None and Push(area, settings).settle()


class Push:
    """A push in progress. Never raises; to be settled by the thread that made it, which owns the ledger."""

    def __init__(self, area: StagingArea, settings: Settings) -> None:
        self._area = area
        self._address = Address.of(settings.pushgateway_url or "")
        self._sent: Delivery | Exception
        self._as_of = clock.now()  # before the ledger is read
        try:
            self._flushes_ended = area.ledger.pushes.flushes_ended()
            self._sent = Delivery(self._request(settings), DEADLINE)
        except Exception as error:  # noqa: BLE001  any error: a metric must never break the flush that it counts
            self._sent = error

    @property
    def done(self) -> bool:
        """Whether `settle` would return without waiting."""
        return isinstance(self._sent, Exception) or self._sent.done

    def settle(self) -> bool:
        """Wait for the answer, until `DEADLINE` after sending, and record it in the ledger. To be called once."""
        try:
            failures = self._answered()
        except Exception as error:  # noqa: BLE001  as above
            _log_failure(self._area, self._address.shown, error)
            return False
        if failures:
            _log.info("metrics are pushed to %s again, after %d failures", self._address.shown, failures)
        return True

    def _answered(self) -> int:
        if isinstance(self._sent, Exception):
            raise self._sent
        self._sent.settle()
        return self._area.ledger.pushes.succeeded(self._flushes_ended, self._as_of)

    def _request(self, settings: Settings) -> urllib.request.Request:
        group = f"{self._address.shown}/metrics/job/{JOB}/shard/{self._area.shard}"
        body = exposition(self._area, settings).encode()
        return urllib.request.Request(
            group, body, {"Content-Type": CONTENT_TYPE, **self._address.headers()}, method="PUT"
        )


def _is_due_now(area: StagingArea, settings: Settings) -> bool:
    pushes = area.ledger.pushes
    return is_due(pushes.state(), pushes.flushes_ended(), clock.now(), settings.metrics_push_interval)


def _begins(area: StagingArea) -> bool:
    """False when another push is in progress."""
    return area.ledger.pushes.begin(timedelta(seconds=DEADLINE))


def _has_unreported(area: StagingArea) -> bool:
    """Whether the oldest batch of any dataset is newer than the last push: its age is in no series yet.

    False after a failed push: then no process pushes before its pause is over.
    """
    state = area.ledger.pushes.state()
    if state.failures_in_a_row:
        return False
    oldest = [one.oldest_pending_at for one in area.ledger.backlogs.all() if one.oldest_pending_at]
    return any(state.pushed is None or staged > state.pushed for staged in oldest)


def _log_failure(area: StagingArea, shown: str, error: Exception) -> None:
    """An outage is logged once, by the first process that notices it, not once a minute."""
    try:
        in_a_row = area.ledger.pushes.failed()
    except TimestoreError as unwritten:
        _log.warning("metrics could not be pushed to %s: %s; the failure is not counted: %s", shown, error, unwritten)
    else:
        if in_a_row == 1:
            _log.warning("metrics could not be pushed to %s: %s; not logged again until one succeeds", shown, error)
