"""What colour a dataset's page gives to a check, by Dagster's own rule."""

from __future__ import annotations

import asyncio
from typing import Literal

import dagster as dg
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from timestore_pipeline.defs.checks import AUDITED, WATCHED
from timestore_pipeline.defs.events import asset_key

Colour = Literal["green", "red", "grey"]


def colour(instance: dg.DagsterInstance, check: str, dataset: str = "weather") -> Colour:
    """Grey: Dagster says *Not evaluated*, because there is no evaluation or a flush has outdated it."""
    return asyncio.run(_colour(instance, dg.AssetCheckKey(asset_key(dataset), check)))


def colours(instance: dg.DagsterInstance, dataset: str = "weather") -> dict[str, Colour]:
    return {check: colour(instance, check, dataset) for check in (*WATCHED, *AUDITED)}


async def _colour(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> Colour:
    context = LoadingContextForTest(instance)
    record = await AssetCheckExecutionRecord.gen(context, key)
    if record is None or not await record.targets_latest_materialization(context):
        return "grey"
    return "green" if (await record.resolve_status(context)).value == "SUCCEEDED" else "red"
