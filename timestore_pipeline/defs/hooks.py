"""Push metrics after every op, successful or not, if a push is due.

A killed run calls no hooks; the sensor's heartbeat pushes instead.
"""

import dagster as dg


@dg.success_hook(required_resource_keys={"metrics"})
def push_after_success(context: dg.HookContext) -> None:
    context.resources.metrics.push(context.log)


@dg.failure_hook(required_resource_keys={"metrics"})
def push_after_failure(context: dg.HookContext) -> None:
    context.resources.metrics.push(context.log)
