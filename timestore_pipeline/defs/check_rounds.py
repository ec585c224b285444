"""Which datasets are checked at a tick, and which verdicts are stored. Every dataset gets its turn, failing ones first.

A tick reads every status, which is one ledger query, and counts the batches of a bounded number of datasets. An event
is stored for a changed verdict, and once a day for an unchanged one, so that its page does not look abandoned. Flushes
store none: six events would cost each flush more than everything else that Dagster does about it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from timestore_pipeline.defs.checks import Verdict, at_a_glance, books
from timestore_pipeline.defs.shard_verdicts import SharedVerdict, failures_in
from timestore_pipeline.defs.watch_state import WatchState
from timestore_pipeline.flush.dataset_status import DatasetStatus
from timestore_pipeline.system import clock
from timestore_pipeline.wiring import Timestore

PER_ROUND = 50  # datasets whose turn it is at one tick: a thousand take twenty ticks, ten minutes
MOST_FAILING = 50  # datasets looked at out of turn
REPEAT_AFTER = timedelta(days=1)
_TIME_TO_COUNT = 5.0  # seconds of a tick; a dataset of a hundred thousand batches takes a tenth of one


def check_round(
    timestore: Timestore, statuses: Sequence[DatasetStatus], now: datetime, state: WatchState
) -> tuple[list[Verdict], WatchState]:
    """The verdicts of this tick, and the state that holds the next turn; `statuses` in name order."""
    guardrail = timestore.settings.staging_max_dataset_bytes
    glances = {status.backlog.dataset: at_a_glance(status, guardrail, now) for status in statuses}
    next_ones = turn(list(glances), state.after)
    answered = dict(_answered(timestore, glances, [*next_ones, *_in_trouble(glances, state)]))
    after = next((dataset for dataset in reversed(next_ones) if dataset in answered), state.after)
    failing = [dataset for dataset, verdicts in answered.items() if not _passes(verdicts)]
    verdicts = [verdict for found in answered.values() for verdict in found]
    return verdicts, replace(state, after=after, failing=tuple(failing[:MOST_FAILING]))


def turn(datasets: Sequence[str], after: str) -> list[str]:
    """The next datasets in name order; starts over at the end. `datasets` is sorted."""
    later = [dataset for dataset in datasets if dataset > after]
    return (later or list(datasets))[:PER_ROUND]


def news(shared: Sequence[SharedVerdict], now: datetime) -> list[Verdict]:
    """Verdicts that differ from the last one that Dagster stored, or whose last one is old or can turn grey."""
    return [one.verdict for one in shared if _is_news(one, now)]


def with_failing(state: WatchState, verdicts: Sequence[Verdict]) -> WatchState:
    """Datasets that fail in another shard are looked at out of turn, too: that shard may be dead."""
    failing = [*state.failing, *(verdict.dataset for verdict in verdicts if not verdict.passed)]
    return replace(state, failing=tuple(dict.fromkeys(failing))[:MOST_FAILING])


def _in_trouble(glances: Mapping[str, Sequence[Verdict]], state: WatchState) -> list[str]:
    """Failing datasets, those that failed at the last tick first, so that a recovery shows at once."""
    failed_before = [dataset for dataset in state.failing if dataset in glances]
    failing = [dataset for dataset, verdicts in glances.items() if not _passes(verdicts)]
    return list(dict.fromkeys([*failed_before, *failing]))[:MOST_FAILING]


def _answered(
    timestore: Timestore, glances: Mapping[str, list[Verdict]], datasets: Sequence[str]
) -> Iterator[tuple[str, list[Verdict]]]:
    """At least one dataset, then as many as there is time for."""
    deadline = clock.monotonic() + _TIME_TO_COUNT
    for dataset in dict.fromkeys(datasets):
        yield dataset, [*glances[dataset], books(dataset, timestore.area.ledger.audit.totals(dataset))]
        if clock.monotonic() > deadline:
            return


def _passes(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.passed for verdict in verdicts)


def _is_news(shared: SharedVerdict, now: datetime) -> bool:
    verdict, shown = shared.verdict, shared.shown
    if shown is None or shown.partition is None:
        return True
    if verdict.passed != shown.passed or failures_in(shown).keys() != verdict.failing_shards:
        return True
    if not verdict.passed and verdict.severity is not shown.severity:
        return True
    return now.timestamp() - shared.shown_since > REPEAT_AFTER.total_seconds()
