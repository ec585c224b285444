"""Pushing to a Pushgateway without ever being in the way of what is measured.

A push replaces the shard's whole group with the durable state of the moment, so a push that fails is made good by the
next one, from whatever process, and nothing is retried here. Series of datasets that were removed go the same way.

Whoever comes by pushes, if a push is due: a flush has ended since the last one, or the last one is as old as
`TIMESTORE_METRICS_PUSH_INTERVAL_MS`. A gateway that fails is left alone by every process of the shard, for a pause that
doubles up to a minute. So what is guaranteed, while hooks and the sensor run and the gateway answers: the counters of
a flush are there when its op has ended, everything else an interval and a tick later. If it does not answer, nobody
waits for it longer than `DEADLINE`, and hardly more than one process a minute waits at all.
"""

from __future__ import annotations

import logging
import queue
import threading
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.error import HTTPError

from timestore_pipeline import clock
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.staging.ledger.pushes import PushState
from timestore_pipeline.telemetry.metrics import exposition
from timestore_pipeline.telemetry.text import CONTENT_TYPE

JOB = "timestore"
DEADLINE = 2.0  # seconds, for reading and sending together

_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(minutes=1)

_log = logging.getLogger(__name__)


def push_if_due(area: StagingArea, settings: Settings) -> bool:
    """Push unless no gateway is configured or nothing is due; False when a push failed. Never raises."""
    if not settings.pushgateway_url:
        return True
    try:
        pushes = area.ledger.pushes
        due = is_due(pushes.state(), pushes.flushes_ended(), clock.now(), settings.metrics_push_interval)
    except TimestoreError:
        due = True  # the push says what is wrong
    return not due or push_metrics(area, settings)


def is_due(state: PushState, flushes_ended: int, now: datetime, interval: timedelta) -> bool:
    """flushes_ended: as of now. A last try that lies in the future was written before the clock was set back."""
    if state.tried is None or state.tried > now:
        return True
    if state.failures_in_a_row:
        return now - state.tried >= _pause(state.failures_in_a_row)
    return flushes_ended != state.flushes_ended or now - state.tried >= interval


def push_metrics(area: StagingArea, settings: Settings) -> bool:
    """PUT every series of this shard under job="timestore", shard=…, due or not; True when the gateway took it.

    Never raises, and waits for the gateway no longer than `DEADLINE`: False when none is configured, or it is away,
    slow or refuses.
    """
    url = settings.pushgateway_url
    if not url:
        return False
    try:
        ended = area.ledger.pushes.flushes_ended()
        _push(url, area, settings)
        failures = area.ledger.pushes.succeeded(ended)
    except Exception as error:  # noqa: BLE001  whatever it is: a metric must never break the flush that it counts
        _tell_failure(area, url, error)
        return False
    if failures:
        _log.info("metrics are pushed to %s again, after %d failures", url, failures)
    return True


def _tell_failure(area: StagingArea, url: str, error: Exception) -> None:
    """An outage is one line in the log, of whichever process meets it first, and not one a minute."""
    try:
        in_a_row = area.ledger.pushes.failed()
    except TimestoreError as unwritten:
        _log.warning("metrics could not be pushed to %s: %s; nor could that be counted: %s", url, error, unwritten)
    else:
        if in_a_row == 1:
            _log.warning("metrics could not be pushed to %s: %s; silent until a push succeeds", url, error)


def _pause(failures_in_a_row: int) -> timedelta:
    return min(_FIRST_PAUSE * int(2 ** min(failures_in_a_row - 1, 10)), _LONGEST_PAUSE)


def _push(url: str, area: StagingArea, settings: Settings) -> None:
    deadline = clock.monotonic() + DEADLINE
    base = url if "://" in url else f"http://{url}"
    group = f"{base.rstrip('/')}/metrics/job/{JOB}/shard/{area.shard}"
    body = exposition(area, settings).encode()
    request = urllib.request.Request(group, body, {"Content-Type": CONTENT_TYPE}, method="PUT")
    _give_up_at(deadline, lambda: _send(request))


def _send(request: urllib.request.Request) -> None:
    """The error of a refusal holds the connection open."""
    try:
        urllib.request.urlopen(request, timeout=DEADLINE).close()
    except HTTPError as refusal:
        refusal.close()
        raise


def _give_up_at(deadline: float, send: Callable[[], None]) -> None:
    """A socket's timeout starts anew with every byte and does not cover the resolution of the gateway's name.

    So only a thread that can be left behind keeps the promise. The ledger has been read by then: the thread holds
    nothing of ours.
    """
    outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    threading.Thread(target=_report, args=(send, outcome), name="timestore-push", daemon=True).start()
    try:
        error = outcome.get(timeout=max(deadline - clock.monotonic(), 0))
    except queue.Empty:
        raise TimeoutError(f"no answer within {DEADLINE:.0f} s") from None
    if error is not None:
        raise error


def _report(send: Callable[[], None], outcome: queue.SimpleQueue[Exception | None]) -> None:
    try:
        send()
    except Exception as error:  # noqa: BLE001  raised again where the push was asked for
        outcome.put(error)
    else:
        outcome.put(None)
