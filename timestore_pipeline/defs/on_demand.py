"""What a person starts on the pages of datasets: *Materialize* flushes them now, *Execute* answers their checks.

One definition with every dataset, of which a run executes the selected ones in a single step: a step for each would
cost a run 50 ms a dataset. Its outputs are optional, and the events are those of any other flush: one for each
partition that got rows, whichever partitions were chosen, and none for a dataset that had nothing staged.

All checks of all datasets are one op, too, that can run a subset of them: an op per check would double the time it
takes to load the definitions.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from timestore_pipeline.defs.checks import AUDITED, WATCHED, Verdict, audited, watched
from timestore_pipeline.defs.claiming import claim_each, orders_of
from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.defs.flush_config import ClaimConfig, FlushRequest, OverridesConfig
from timestore_pipeline.defs.job import export_each, finalize_each, publish_each, push_after_failure, push_after_success
from timestore_pipeline.defs.reported import with_reported
from timestore_pipeline.defs.shard_verdicts import for_all_shards
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.recovery.shard_audit import audit_dataset
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

MOST_CHECKED = 2_000  # datasets; every further thousand costs each start and each run another second of CPU

_log = logging.getLogger(__name__)


def flush_on_demand(datasets: Sequence[dg.AssetSpec]) -> list[dg.AssetsDefinition]:
    """The datasets' assets, which flush when they are materialized; none without datasets, as Dagster wants it."""
    return [_assets(datasets)] if datasets else []


def _assets(datasets: Sequence[dg.AssetSpec]) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="flush_selected",
        specs=datasets,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),  # whatever was chosen
        hooks={push_after_success, push_after_failure},
        description="Flushes the selected datasets now, whatever thresholds and pauses say.",
    )
    def flush_selected(
        context: dg.AssetExecutionContext, config: OverridesConfig, timestore: dg.ResourceParam[Timestore]
    ) -> Iterator[dg.MaterializeResult[None]]:
        try:
            _flush(context.op_execution_context, timestore, _wanted(context, config))
        except dg.Failure:  # of one dataset, perhaps; a termination is not delayed by checks
            _answer_checks(context, timestore)
            raise
        _answer_checks(context, timestore)
        yield from ()  # the events are logged as each flush ends

    return flush_selected


def _flush(op: dg.OpExecutionContext, timestore: Timestore, wanted: ClaimConfig) -> None:
    claimed = claim_each(op, timestore, orders_of(timestore, wanted))
    finalize_each(op, timestore, publish_each(op, timestore, export_each(op, timestore, claimed)))


def _answer_checks(context: dg.AssetExecutionContext, timestore: Timestore) -> None:
    """Those that the run selected: Dagster skips their own step, as outputs are lacking, and greys them out.

    Also after a failure: a run that fails for one dataset would grey out the checks of all others.
    """
    selected = context.run.asset_check_selection
    if selected is None:
        names = (*WATCHED, *AUDITED)
        selected = frozenset(dg.AssetCheckKey(key, name) for key in context.selected_asset_keys for name in names)
    try:
        for verdict in answers(context.instance, timestore, selected):
            context.op_execution_context.log_event(verdict.evaluation())  # type: ignore[arg-type]  # accepted
    except TimestoreError as error:
        context.log.warning("the checks are answered by the next round, not by this run: %s", error)


def _wanted(context: dg.AssetExecutionContext, options: OverridesConfig) -> ClaimConfig:
    names = sorted(key.path[-1] for key in context.selected_asset_keys)
    return ClaimConfig(flushes=[FlushRequest(dataset=name) for name in names], defaults=options)


def dataset_checks(datasets: Sequence[str]) -> list[dg.AssetChecksDefinition]:
    """One definition with every check of the first `MOST_CHECKED` datasets; none without datasets."""
    if len(datasets) > MOST_CHECKED:
        _log.warning("checks are defined for the first %d of %d datasets", MOST_CHECKED, len(datasets))
    specs = [spec for dataset in datasets[:MOST_CHECKED] for spec in _specs(dataset)]
    return [_checks(specs)] if specs else []


def verdicts(timestore: Timestore, dataset: str, checks: Iterable[str]) -> list[Verdict]:
    """The named checks of one dataset, answered now. Reads the lake only for those that need it."""
    wanted, found = set(checks), list[Verdict]()
    if wanted & WATCHED.keys():
        totals = timestore.area.ledger.audit.totals(dataset)
        guardrail = timestore.settings.staging_max_dataset_bytes
        found += watched(timestore.status(dataset), guardrail, totals, clock.now())
    if wanted & AUDITED.keys():
        found += audited(audit_dataset(timestore.area, timestore.lake, dataset))
    return [verdict for verdict in found if verdict.check in wanted]


def answers(
    instance: dg.DagsterInstance, timestore: Timestore, checks: Iterable[dg.AssetCheckKey]
) -> Iterator[Verdict]:
    """The checks of any datasets, answered now for all shards."""
    selected: dict[str, list[str]] = defaultdict(list)
    for key in sorted(checks):
        selected[key.asset_key.path[-1]].append(key.name)
    for dataset, names in selected.items():
        found = with_reported(instance, verdicts(timestore, dataset, names))
        yield from for_all_shards(instance, timestore.area.shard, found)


def _specs(dataset: str) -> Iterator[dg.AssetCheckSpec]:
    for name, description in (*WATCHED.items(), *AUDITED.items()):
        yield dg.AssetCheckSpec(name, asset=asset_key(dataset), description=description)


def _checks(specs: Sequence[dg.AssetCheckSpec]) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name="dataset_checks", specs=specs, can_subset=True, description="Answers the selected checks now."
    )
    def execute_checks(
        context: dg.AssetCheckExecutionContext, timestore: dg.ResourceParam[Timestore]
    ) -> Iterator[dg.AssetCheckResult]:
        for verdict in answers(context.instance, timestore, context.selected_asset_check_keys):
            context.op_execution_context.log_event(verdict.evaluation())  # type: ignore[arg-type]  # accepted
            yield verdict.result()

    return execute_checks
