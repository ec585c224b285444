"""Pushing metrics from a run: after each op if a push is due, and never at the run's expense.

A push that fails once is not tried again in the same run, nor in the next ones for a while: see `telemetry.push`.
Whatever is not pushed is not lost, the counters live in the ledger and go out with the next run or heartbeat.
"""

import dagster as dg

from timestore_pipeline.telemetry.push import push_if_due
from timestore_pipeline.wiring import Timestore


class MetricsGateway:
    """The configured Pushgateway of one run, or nothing."""

    def __init__(self, timestore: Timestore) -> None:
        self._timestore = timestore
        self._wanted = timestore.settings.pushgateway_url is not None

    def push(self, log: dg.DagsterLogManager) -> None:
        """Push everything if it is time to; never raises, and says at most once that it did not work."""
        if self._wanted and not push_if_due(self._timestore.area, self._timestore.settings):
            self._wanted = False
            log.warning("metrics were not pushed to TIMESTORE_PUSHGATEWAY_URL; not tried again in this run")


@dg.resource(required_resource_keys={"timestore"}, description="Where hooks push metrics.")
def metrics_gateway(context: dg.InitResourceContext) -> MetricsGateway:
    return MetricsGateway(context.resources.timestore)
