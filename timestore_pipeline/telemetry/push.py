"""Pushing to a Pushgateway without ever being in the way of what is measured.

A push replaces the shard's whole group with the durable state of the moment, so a push that fails is made good by the
next one, from whatever process, and nothing is retried here.
"""

from __future__ import annotations

import logging
import queue
import threading
import urllib.request
from collections.abc import Callable
from urllib.error import HTTPError

from prometheus_client import push_to_gateway

from timestore_pipeline import clock
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.telemetry.metrics import registry

JOB = "timestore"
DEADLINE = 2.0  # seconds, for reading and sending together

_log = logging.getLogger(__name__)


class _Outages:
    """Gateways that did not take the last push, so that an outage is one line in the log and not one a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failing: set[str] = set()

    def failed(self, url: str, error: Exception) -> None:
        with self._lock:
            first = url not in self._failing
            self._failing.add(url)
        if first:
            _log.warning("metrics could not be pushed to %s: %s; silent until a push succeeds", url, error)

    def succeeded(self, url: str) -> None:
        with self._lock:
            again = url in self._failing
            self._failing.discard(url)
        if again:
            _log.info("metrics are pushed to %s again", url)


_outages = _Outages()


def push_metrics(area: StagingArea, settings: Settings) -> bool:
    """PUT every series of this shard under job="timestore", shard=…; True when the gateway took it.

    Never raises, and waits for the gateway no longer than `DEADLINE`: False when none is configured, or it is away,
    slow or refuses.
    """
    url = settings.pushgateway_url
    if not url:
        return False
    try:
        _push(url, area, settings)
    except Exception as error:  # noqa: BLE001  whatever it is: a metric must never break the flush that it counts
        _outages.failed(url, error)
        return False
    _outages.succeeded(url)
    return True


def _push(url: str, area: StagingArea, settings: Settings) -> None:
    deadline = clock.monotonic() + DEADLINE

    def send_in_time(
        url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        request = urllib.request.Request(url, data, dict(headers), method=method)
        return lambda: _give_up_at(deadline, lambda: _send(request, timeout))

    shard = {"shard": area.shard}
    push_to_gateway(url, JOB, registry(area, settings), shard, timeout=DEADLINE, handler=send_in_time)


def _send(request: urllib.request.Request, timeout: float | None) -> None:
    """The client's own handler leaves the connection of a refusal open."""
    try:
        urllib.request.urlopen(request, timeout=timeout).close()
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
