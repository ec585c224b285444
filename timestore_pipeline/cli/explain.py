"""`timestore explain`: why a dataset is or is not flushing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from timestore_pipeline.cli.arguments import Dataset
from timestore_pipeline.cli.output import AsJson, print_fields, print_json, print_line
from timestore_pipeline.cli.session import open_store, sensor_lateness
from timestore_pipeline.cli.wording import (
    count,
    duration,
    flush_document,
    flush_sentence,
    incident_document,
    incident_sentence,
    instant,
    iso,
    size,
)
from timestore_pipeline.model.lake import NO_TIME, declare_time
from timestore_pipeline.settings import dagster_home
from timestore_pipeline.staging.area import StagingArea
from timestore_pipeline.system import clock
from timestore_pipeline.tools.explanation import Explanation, LimitUse, explain_dataset

if TYPE_CHECKING:
    from timestore_pipeline.defs.run_queue import HeldBy

_log = logging.getLogger(__name__)

_MEASURED = {
    "bytes": "staged",
    "disk_bytes": "on disk, the guardrail",
    "total_disk_bytes": "on disk for all datasets, the total guardrail",
}


def explain(
    dataset: Dataset,
    as_json: AsJson = False,
) -> None:
    """Say why a dataset is or is not flushing.

    Names the limit that binds, when it will flush, and what is in the way.

    \b
    Example:
      timestore explain weather
    """
    with open_store() as store:
        explanation = explain_dataset(store, dataset, clock.now())
        run = _run_of(store.area, dataset, explanation.now) if explanation.status.decision.due else None
    if as_json:
        print_json(_document(explanation, run))
        return
    decision = explanation.status.decision
    print_line(f"{decision.dataset}: {'due' if decision.due else 'not due'}: {decision.reason}", "bold")
    print_fields(_fields(explanation, run))


def _run_of(area: StagingArea, dataset: str, now: datetime) -> HeldBy | None:
    """Dagster's run for a due dataset; None = none yet, or DAGSTER_HOME is unset.

    Asked only for a due dataset: importing Dagster takes seconds. A Dagster that does not answer is logged.
    """
    home = dagster_home()
    if home is None or find_spec("dagster") is None:
        return None
    from timestore_pipeline.defs.run_queue import run_of

    try:
        return run_of(home, area, dataset, now)
    except Exception as error:  # noqa: BLE001  # of any storage; the explanation does without
        _log.warning("Dagster's storage does not say which run has %s: %s", dataset, error)
        return None


def _when(explanation: Explanation, run: HeldBy | None) -> str:
    """When it will be flushed, as far as it is known now."""
    late = sensor_lateness(explanation.sensor_ticked_at)
    if run is not None:
        return run.sentence + (f"; {late}" if late else "")
    backlog, decision = explanation.status.backlog, explanation.status.decision
    if decision.due:
        by_hand = f"not by itself, {late}; `timestore flush {decision.dataset} --now` does it here"
        return by_hand if late else "at the sensor's next tick, within ten seconds"
    if backlog.claim_trigger is not None:
        return "now; what has come in since is decided on when this flush has ended"
    if not backlog.pending.batches:
        return "when something is staged"
    if decision.waits_for:
        return decision.waits_for
    if decision.due_at is None:
        return "not by itself while it is paused" if backlog.paused else "when a limit is reached; age is off"
    left = f"at {instant(decision.due_at)}, in {duration(max(decision.due_at - explanation.now, timedelta(0)))}"
    if late is not None:
        return f"{left}; {late}"
    return left if backlog.backs_off(explanation.now) else f"{left}, or when another limit is reached"


def _document(explanation: Explanation, run: HeldBy | None) -> dict[str, Any]:
    backlog, decision = explanation.status.backlog, explanation.status.decision
    return {
        "dataset": decision.dataset,
        "due": decision.due,
        "trigger": decision.trigger,
        "reason": decision.reason,
        "due_at": iso(decision.due_at),
        "when": _when(explanation, run),
        "sensor_late": sensor_lateness(explanation.sensor_ticked_at) is not None,
        "run": None if run is None else run.to_dict(),
        "complete_until": iso(explanation.complete_until),
        "binding": explanation.binding.limit if explanation.binding else None,
        "limits": [
            {"limit": use.limit, "value": use.value, "threshold": use.threshold, "share": use.share}
            for use in explanation.limits
        ],
        "in_flight": None if explanation.in_flight is None else flush_document(explanation.in_flight),
        "in_flight_interrupted": backlog.interrupted,
        "last_flush": None if explanation.last is None else flush_document(explanation.last),
        "layout_open": backlog.layout_open,
        "failures": backlog.failures,
        "retry_at": iso(decision.due_at if backlog.failures else None),
        "paused": backlog.paused,
        "manual_requested_at": iso(backlog.manual_requested_at),
        "incidents": [incident_document(incident) for incident in explanation.incidents],
    }


def _fields(explanation: Explanation, run: HeldBy | None) -> Iterator[tuple[str, str]]:
    """Name and sentence."""
    backlog = explanation.status.backlog
    yield "when", _when(explanation, run)
    yield "pending", f"{count(backlog.pending.batches, 'batch')}, {count(backlog.pending.rows, 'row')}"
    if explanation.binding is not None:
        yield "binding limit", _use_sentence(explanation.binding)
    for use in explanation.limits:
        if use is not explanation.binding:
            yield "", _use_sentence(use)
    if explanation.in_flight is not None:
        worker = "its process is gone" if backlog.interrupted else "its process is alive"
        yield "in flight", f"{flush_sentence(explanation.in_flight)}; {worker}"
    if explanation.last is not None:
        yield "last flush", flush_sentence(explanation.last)
    yield "complete until", f"{instant(explanation.complete_until)}; what was acknowledged before is published"
    yield from _obstacles(explanation)


def _obstacles(explanation: Explanation) -> Iterator[tuple[str, str]]:
    backlog = explanation.status.backlog
    if backlog.layout_open and not explanation.status.decision.waits_for:
        names = declare_time(backlog.dataset)
        yield "layout", f"{NO_TIME}: a flush publishes without partitions, for good; `{names}` names the column"
    if backlog.paused:
        yield "paused", "yes, until `timestore resume`; a manual flush still works"
    if backlog.failures:
        yield "failures in a row", str(backlog.failures)
    for incident in explanation.incidents:
        yield "quarantined", incident_sentence(incident)


def _use_sentence(use: LimitUse) -> str:
    share = f"{use.share:.0%}"
    if use.limit == "age_seconds":
        return f"age {use.value:.1f} of {use.threshold:.1f} s ({share})"
    if use.limit == "rows":
        return f"{use.value:,.0f} of {use.threshold:,.0f} rows ({share})"
    return f"{size(use.value)} of {size(use.threshold)} {_MEASURED[use.limit]} ({share})"
