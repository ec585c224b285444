"""*Materialize* on a dataset's page: flush the selected datasets now, with the launchpad's options.

One definition with every dataset, of which a run executes the selected ones in a single step: a step for each would
cost a run 50 ms a dataset. Its outputs are optional, and the events are those of any other flush: one for each
partition that got rows, whichever partitions were chosen, and none for a dataset that had nothing staged.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from timestore_pipeline.defs.check_execution import answers
from timestore_pipeline.defs.checks import AUDITED, WATCHED
from timestore_pipeline.defs.claiming import claim_each, orders_of
from timestore_pipeline.defs.flush_config import ClaimConfig, FlushRequest, OverridesConfig
from timestore_pipeline.defs.job import export_each, finalize_each, publish_each, push_after_failure, push_after_success
from timestore_pipeline.defs.partitions import MOST_WINDOWS
from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.wiring import Timestore


def flush_on_demand(datasets: Sequence[dg.AssetSpec]) -> list[dg.AssetsDefinition]:
    """The datasets' assets, which flush when they are materialized; none without datasets, as Dagster wants it."""
    return [_definition(datasets)] if datasets else []


def _definition(datasets: Sequence[dg.AssetSpec]) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="flush_selected",
        specs=datasets,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.multi_run(MOST_WINDOWS),  # one run, whatever was chosen
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
