"""Verdicts that shards store on one check."""

from __future__ import annotations

from datetime import datetime

import dagster as dg

from timestore_pipeline.defs.checks import Verdict
from timestore_pipeline.defs.shard_verdicts import for_all_shards, shared_verdicts
from timestore_pipeline.defs.watch_tick import news

FINE = Verdict("weather", "fresh", True, "fine")
WARNED = Verdict("weather", "fresh", False, "late", dg.AssetCheckSeverity.WARN)
LATE = Verdict("weather", "fresh", False, "very late")


def store(instance: dg.DagsterInstance, verdict: Verdict, shard: str = "shard-0") -> dg.AssetCheckEvaluation:
    """What the shard's watch stores; returns it."""
    [merged] = for_all_shards(instance, shard, [verdict])
    evaluation = merged.evaluation()
    instance.report_runless_asset_event(evaluation)
    return evaluation


def stored_now(
    instance: dg.DagsterInstance, verdict: Verdict, now: datetime, shard: str = "shard-0"
) -> list[str | None]:
    """The texts that the shard's watch would store at this instant."""
    return [found.text for found in news(shared_verdicts(instance, shard, [verdict]), now)]
