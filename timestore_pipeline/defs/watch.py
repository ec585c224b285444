"""`dataset_watch_sensor`: keeps the datasets' pages current: observations, checks, a reload for what is new.

Nothing depends on it: `staging_flush_sensor` flushes, and alerts use the metrics. If a tick dies, the next one does its
work.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from zlib import crc32

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from timestore_pipeline.defs.assets import is_current, known_datasets
from timestore_pipeline.defs.checks import FRESH
from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.defs.reload import reloading
from timestore_pipeline.defs.reported import with_reported
from timestore_pipeline.defs.shard_verdicts import shared_verdicts
from timestore_pipeline.defs.watch_tick import WatchState, check_round, news, observations, with_failing
from timestore_pipeline.settings import Settings
from timestore_pipeline.staging.ledger.dataset_catalog import CatalogEntry
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

ASK_AGAIN = timedelta(minutes=10)  # after a reload that changed nothing: not every code server can reload
_LEAST_PAUSE = timedelta(minutes=1)  # between two reloads, however many datasets come: each costs seconds of CPU


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Records what changed in the datasets' queues, answers their checks, notices new datasets.",
)
def dataset_watch_sensor(
    context: dg.SensorEvaluationContext, timestore: dg.ResourceParam[Timestore]
) -> dg.SensorResult:
    """Events without a run, for the datasets of the loaded definitions. The ledger's errors pass."""
    now, before = clock.now(), WatchState.parse(context.cursor)
    graph = _loaded(context)
    shown = [status for status in timestore.statuses() if graph.has(asset_key(status.backlog.dataset))]
    checked = [status for status in shown if _check_key(status.backlog.dataset) in graph.asset_check_keys]
    verdicts, after = check_round(timestore, checked, now, before)
    shared = shared_verdicts(context.instance, timestore.area.shard, with_reported(context.instance, verdicts))
    backlogs = [status.backlog for status in shown]
    observed, remembered = observations(backlogs, before.observed, now, timestore.area.shard)
    changed = [verdict.evaluation() for verdict in news(shared, now)]
    unseen = not_shown(timestore.settings, graph, now)
    summary = f"{len(observed)} observations, {len(changed)} changed verdicts; {_describe(unseen)}"
    after = with_failing(replace(after, observed=remembered), [one.verdict for one in shared])
    ask = reloading(context.code_location_origin, timestore.settings.dagster_webserver_url)
    state = after if ask is None else _ask_if_due(ask, unseen, now, after)
    return dg.SensorResult(asset_events=[*observed, *changed], skip_reason=summary, cursor=state.to_cursor())


def not_shown(settings: Settings, graph: AssetGraph, now: datetime) -> list[str]:
    """Datasets that are newer than the loaded definitions, or have partitions, columns or metadata that are newer."""

    def is_shown(entry: CatalogEntry) -> bool:
        key = asset_key(entry.record.name)
        return graph.has(key) and is_current(graph.get(key), entry, settings, now)

    return [entry.record.name for entry in known_datasets(settings) if not is_shown(entry)]


def _ask_if_due(ask: Callable[[], bool], unseen: list[str], now: datetime, state: WatchState) -> WatchState:
    """Ask for a reload at most once a minute, and every ten minutes for the same datasets if the server accepted it."""
    if not unseen:
        return replace(state, asked_for=0)
    names = crc32("\n".join(sorted(unseen)).encode())
    pause = ASK_AGAIN if names == state.asked_for else _LEAST_PAUSE
    if now < clock.from_micros(state.asked_at) + pause:
        return state
    return replace(state, asked_at=clock.to_micros(now), asked_for=names if ask() else 0)


def _describe(unseen: list[str]) -> str:
    if not unseen:
        return "every dataset is an asset"
    return f"reload the definitions to see {len(unseen)} new or changed: {', '.join(unseen[:5])}"


def _loaded(context: dg.SensorEvaluationContext) -> AssetGraph:
    assert context.repository_def is not None, "Dagster evaluates a sensor with the repository it belongs to"
    return context.repository_def.asset_graph


def _check_key(dataset: str) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(asset_key(dataset), FRESH)
