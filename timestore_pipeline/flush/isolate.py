"""Finding the batches that no export survives, so that one of them cannot block its dataset.

Trial exports of halves, into the spool and dropped at once, narrow a failure down to single batches. They are exports
in every respect but the table, so what passes here passes there. A trial without any rows comes first: when that fails,
it is not the batches. A crash leaves files in the spool, which `recover` removes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from timestore_pipeline.errors import Conflict, Corrupted, InvalidInput, OutcomeUnknown, RetryLater, TimestoreError
from timestore_pipeline.flush.attach import Place
from timestore_pipeline.flush.export import ExportOptions, try_export
from timestore_pipeline.lake.table import Lake
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.staging.area import StagingArea

_log = logging.getLogger(__name__)

# Errors that no batch is to blame for: the disk, the lake, the ledger, a damaged file, the configuration.
NOT_THE_DATA = (RetryLater, InvalidInput, Conflict, OutcomeUnknown, Corrupted)

# In one claim: an hour at most for a large one. The rest goes back to the queue, and the next flush continues.
_MOST_TRIALS = 256

Batches = Mapping[Place, str]  # where the rows lie -> batch id


@dataclass(slots=True)
class IsolationVerdict:
    """The result of the trials. Batches that are in neither passed."""

    culprits: dict[str, str] = field(default_factory=dict)  # batch id -> the error of its trial
    unresolved: list[str] = field(default_factory=list)  # batch ids in halves that failed and were not examined
    trials: int = 0


def isolate_poison(area: StagingArea, lake: Lake, ref: FlushRef, options: ExportOptions) -> IsolationVerdict:
    """Try the claim's batches; no batch is the culprit when the failure is systemic or does not come again.

    Raises errors that are not the data's fault, see `NOT_THE_DATA`.
    """
    batches = area.ledger.batches.of_flush(ref)
    verdict = IsolationVerdict()
    failure = partial(_failure, area, lake, ref, options, verdict)
    if failure({}) is None:
        _bisect(batches, failure, verdict)
    _log.warning(
        "flush %d of %s: %d trial exports of %d batches found %d poisonous; %d are left for the next flush",
        ref.epoch, ref.dataset, verdict.trials, len(batches), len(verdict.culprits), len(verdict.unresolved),
    )  # fmt: skip
    return verdict


def _bisect(batches: Batches, failure: Callable[[Batches], str | None], verdict: IsolationVerdict) -> None:
    waiting = [batches]
    while waiting:
        some = waiting.pop()
        if verdict.trials >= _MOST_TRIALS:
            verdict.unresolved += some.values()
        elif (error := failure(some)) is None:
            continue
        elif len(some) == 1:
            verdict.culprits |= dict.fromkeys(some.values(), error)
        else:
            waiting += _halves(some)


def _halves(batches: Batches) -> list[Batches]:
    places = sorted(batches)
    middle = len(places) // 2
    return [{place: batches[place] for place in half} for half in (places[middle:], places[:middle])]


def _failure(
    area: StagingArea, lake: Lake, ref: FlushRef, options: ExportOptions, verdict: IsolationVerdict, some: Batches
) -> str | None:
    verdict.trials += 1
    try:
        try_export(area, lake, ref, options, some)
    except NOT_THE_DATA:
        raise
    except TimestoreError as error:
        return str(error)
    return None
