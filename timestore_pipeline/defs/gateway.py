"""Pushing metrics from a run: after each op if a push is due, without delaying the run.

A hook sends and does not wait: a gateway that hangs must not delay claims. A later hook reads the answer, or the end of
the run, which waits for it no longer than `telemetry.push.DEADLINE` after the push was sent. A push that fails is not
repeated in the same run, nor in the next ones for a while. Nothing is lost by that: the counters live in the ledger and
go out with the next run or heartbeat.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from timestore_pipeline.monitoring.telemetry.push import Push, begin_if_due
from timestore_pipeline.wiring import Timestore


class MetricsGateway:
    """The configured Pushgateway of one run, or nothing."""

    def __init__(self, timestore: Timestore) -> None:
        self._timestore = timestore
        self._wanted = timestore.settings.pushgateway_url is not None
        self._under_way: Push | None = None

    def push(self, log: logging.Logger) -> None:
        """Send everything if a push is due and no answer is outstanding; never raises and never waits."""
        if self._under_way is not None and self._under_way.done:
            self._settle(log)
        if self._wanted and self._under_way is None:
            self._under_way = begin_if_due(self._timestore.area, self._timestore.settings)

    def close(self, log: logging.Logger) -> None:
        """Wait for the outstanding answer, and send once more if a push is due."""
        self._settle(log)
        self.push(log)
        self._settle(log)

    def _settle(self, log: logging.Logger) -> None:
        """Log a failed push, at most once per run."""
        push, self._under_way = self._under_way, None
        if push is not None and not push.settle():
            self._wanted = False
            log.warning("metrics were not pushed to TIMESTORE_PUSHGATEWAY_URL; not tried again in this run")


@dg.resource(required_resource_keys={"timestore"}, description="Where hooks push metrics.")
@contextmanager
def metrics_gateway(context: dg.InitResourceContext) -> Iterator[MetricsGateway]:
    gateway = MetricsGateway(context.resources.timestore)
    try:
        yield gateway
    finally:
        gateway.close(context.log or dg.get_dagster_logger())
