"""One verdict for all shards of a dataset: their locations share its page, where each check has one latest evaluation.

An evaluation carries the failure of every shard that fails. A shard whose own verdict passes keeps those of the others,
so the check is red until each failing shard has passed, also when that shard is dead. When two shards store at the same
instant, the later one may miss the failure of the other, which stores it again at its next tick.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.event_log.base import EventLogStorage

from timestore_pipeline.defs.checks import Verdict

SHARD = "shard"  # metadata of an evaluation: the shard that stored it
FAILING_SHARDS = "failing_shards"  # and the failures of all shards: shard -> severity and text

_ERROR = dg.AssetCheckSeverity.ERROR
_ANSWERED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


@dataclass(frozen=True, slots=True)
class Failure:
    """What one shard found wrong."""

    severity: dg.AssetCheckSeverity
    text: str

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        return cls(verdict.severity, verdict.text)

    def to_plain(self) -> dict[str, str]:
        return {"severity": self.severity.value, "text": self.text}


@dataclass(frozen=True, slots=True)
class SharedVerdict:
    """The verdict of all shards, and what the dataset's page shows."""

    verdict: Verdict
    shown: dg.AssetCheckEvaluation | None  # None = nothing yet, or the check is being executed
    shown_since: float  # seconds since the Unix epoch


def shared_verdicts(
    instance: dg.DagsterInstance, shard: str, verdicts: Sequence[Verdict], retired: Collection[str] = ()
) -> list[SharedVerdict]:
    """This shard's verdicts, each with the failures of the other shards. retired: shards whose failures are dropped."""
    storage = instance.event_log_storage
    keys = [verdict.key for verdict in verdicts]
    records = storage.get_latest_asset_check_execution_by_key(keys) if keys else {}
    return [_shared(storage, shard, verdict, records.get(verdict.key), retired) for verdict in verdicts]


def for_all_shards(
    instance: dg.DagsterInstance, shard: str, verdicts: Sequence[Verdict], retired: Collection[str] = ()
) -> list[Verdict]:
    """The verdicts as they are to be stored."""
    return [shared.verdict for shared in shared_verdicts(instance, shard, verdicts, retired)]


def failures_in(evaluation: dg.AssetCheckEvaluation) -> dict[str, Failure]:
    """Shard -> its failure; none in an evaluation of another release, or one that was stored by hand."""
    try:
        plain: Any = evaluation.metadata[FAILING_SHARDS].value
        return {shard: Failure(dg.AssetCheckSeverity(one["severity"]), one["text"]) for shard, one in plain.items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _shared(
    storage: EventLogStorage,
    shard: str,
    verdict: Verdict,
    record: AssetCheckExecutionRecord | None,
    retired: Collection[str],
) -> SharedVerdict:
    shown = _evaluation(record)
    last = shown
    if record is not None and shown is None:  # a click on Execute has hidden the last evaluation
        answered = storage.get_asset_check_execution_history(verdict.key, limit=1, status=_ANSWERED)
        last = _evaluation(answered[0]) if answered else None
    failures = {} if last is None else failures_in(last)
    others = {name: failure for name, failure in failures.items() if name != shard and name not in retired}
    return SharedVerdict(_merged(verdict, shard, others), shown, 0.0 if record is None else record.create_timestamp)


def _evaluation(record: AssetCheckExecutionRecord | None) -> dg.AssetCheckEvaluation | None:
    event = None if record is None else record.evaluation
    return event if isinstance(event, dg.AssetCheckEvaluation) else None


def _merged(verdict: Verdict, shard: str, others: Mapping[str, Failure]) -> Verdict:
    failing = {**others} if verdict.passed else {**others, shard: Failure.of(verdict)}
    numbers = {**verdict.numbers, SHARD: shard}
    if failing:
        numbers[FAILING_SHARDS] = dg.MetadataValue.json({name: one.to_plain() for name, one in sorted(failing.items())})
    severities = [failure.severity for failure in failing.values()] or [verdict.severity]
    return replace(
        verdict,
        passed=not failing,
        text="\n".join([verdict.text, *(f"shard {name}: {one.text}" for name, one in sorted(others.items()))]),
        severity=_ERROR if _ERROR in severities else dg.AssetCheckSeverity.WARN,
        numbers=numbers,
        failing_shards=frozenset(failing),
    )
