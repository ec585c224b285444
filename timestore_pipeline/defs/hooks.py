"""Metrics after every op, successful or not, if a push is due.

A run killed outright has no hooks; the sensor's heartbeat covers it.
"""

import dagster as dg


@dg.success_hook(required_resource_keys={"metrics"})
def push_after_success(context: dg.HookContext) -> None:
    context.resources.metrics.push(context.log)


@dg.failure_hook(required_resource_keys={"metrics"})
def push_after_failure(context: dg.HookContext) -> None:
    context.resources.metrics.push(context.log)
