"""The checks as Dagster definitions: shown with every dataset, and executed by a click on Execute.

All checks of all datasets are one op that can run a subset of them: an op per check would double the time it takes to
load the definitions.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from timestore_pipeline.defs.checks import AUDITED, WATCHED, Verdict, audited, watched
from timestore_pipeline.defs.events import asset_key
from timestore_pipeline.defs.shard_verdicts import for_all_shards
from timestore_pipeline.recovery.shard_audit import audit_dataset
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

MOST_CHECKED = 2_000  # datasets; every further thousand costs each start and each run another second of CPU

_log = logging.getLogger(__name__)


def dataset_checks(datasets: Sequence[str]) -> list[dg.AssetChecksDefinition]:
    """One definition with every check of the first `MOST_CHECKED` datasets; none without datasets."""
    if len(datasets) > MOST_CHECKED:
        _log.warning("checks are defined for the first %d of %d datasets", MOST_CHECKED, len(datasets))
    specs = [spec for dataset in datasets[:MOST_CHECKED] for spec in _specs(dataset)]
    return [_definition(specs)] if specs else []


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
        yield from for_all_shards(instance, timestore.area.shard, verdicts(timestore, dataset, names))


def _specs(dataset: str) -> Iterator[dg.AssetCheckSpec]:
    for name, description in (*WATCHED.items(), *AUDITED.items()):
        yield dg.AssetCheckSpec(name, asset=asset_key(dataset), description=description)


def _definition(specs: Sequence[dg.AssetCheckSpec]) -> dg.AssetChecksDefinition:
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
