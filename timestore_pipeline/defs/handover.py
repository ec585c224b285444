"""What one op hands to the next: the flushes that continue, and the datasets that failed so far.

Claims live in the ledger; only their names are handed over, as JSON on the output's own event. So a run that is
re-executed from a later op finds them in the log of the run before, in another process and without a file for it. If
the claims were settled meanwhile, the ledger refuses with `Fenced`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, cast

import dagster as dg

from timestore_pipeline.errors import TimestoreError
from timestore_pipeline.model.flush import FlushRef
from timestore_pipeline.model.thresholds import FlushSettings

_METADATA_KEY = "handed over"


@dataclass(frozen=True, slots=True)
class CarriedFlush:
    """A claim on its way through the ops."""

    ref: FlushRef
    settings: FlushSettings
    version: int | None = None  # Delta table version that carries it; None until published
    bytes: int = 0  # of Arrow data
    alone: bool = False  # an export of the dataset ran out of memory before: this one shares the memory with no other

    def at_version(self, version: int | None) -> Self:
        return replace(self, version=version)


@dataclass(frozen=True, slots=True)
class FailedFlush:
    """A dataset that failed; its batches are pending again, or the next flush settles them."""

    dataset: str
    code: str  # of the error class; "unexpected" for anything the product does not raise on purpose
    message: str
    hint: str = ""

    @classmethod
    def of(cls, dataset: str, error: Exception) -> Self:
        if isinstance(error, TimestoreError):
            return cls(dataset, error.code, str(error), error.hint)
        return cls(dataset, "unexpected", f"{type(error).__name__}: {error}", "see the traceback in this run's log")

    def __str__(self) -> str:
        return f"{self.dataset} ({self.code}): {self.message}" + (f" [{self.hint}]" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Handover:
    """Plain values only, see `to_plain`."""

    flushes: tuple[CarriedFlush, ...]
    failures: tuple[FailedFlush, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """A document of JSON types, a few hundred bytes per dataset."""
        return {
            "flushes": [
                {
                    **flush.ref.to_dict(),
                    "settings": flush.settings.to_dict(),
                    "version": flush.version,
                    "bytes": flush.bytes,
                    "alone": flush.alone,
                }
                for flush in self.flushes
            ],
            "failures": [asdict(failure) for failure in self.failures],
        }

    @classmethod
    def from_plain(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            flushes=tuple(
                CarriedFlush(
                    FlushRef.from_dict(flush),
                    FlushSettings.from_dict(flush["settings"]),
                    flush["version"],
                    flush["bytes"],
                    flush["alone"],
                )
                for flush in document["flushes"]
            ),
            failures=tuple(FailedFlush(**failure) for failure in document["failures"]),
        )


class EventLogHandover(dg.IOManager):
    """Keeps the ops' outputs in the run's event log: no file, no pickle, readable in the UI."""

    def __init__(self) -> None:
        # Dagster may be configured to write events in batches, so a run does not read its own outputs from the log.
        self._of_this_run: dict[tuple[str, str], dict[str, Any]] = {}

    def handle_output(self, context: dg.OutputContext, obj: dict[str, Any]) -> None:
        context.add_output_metadata({_METADATA_KEY: dg.MetadataValue.json(obj)})
        self._of_this_run[context.run_id, context.step_key] = obj

    def load_input(self, context: dg.InputContext) -> dict[str, Any]:
        """Raise `dg.Failure` when the run before did not complete the op whose output is needed."""
        upstream = context.upstream_output
        assert upstream is not None, "every input of the job is another op's output"
        run_id = _source_run(upstream)
        known = self._of_this_run.get((run_id, upstream.step_key))
        return known or _logged(context.instance, run_id, upstream.step_key)


@dg.io_manager(description="Hands small values over through the event log.")
def event_log_handover(_context: dg.InitResourceContext) -> EventLogHandover:
    return EventLogHandover()


def _source_run(upstream: dg.OutputContext) -> str:
    try:
        return upstream.run_id
    except dg.DagsterInvariantViolationError:  # no run before had this output
        raise _nothing_handed_over(upstream.step_key) from None


def _logged(instance: dg.DagsterInstance, run_id: str, step_key: str) -> dict[str, Any]:
    kind = dg.DagsterEventType.HANDLED_OUTPUT
    for record in instance.get_records_for_run(run_id, of_type=kind, ascending=False).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.step_key == step_key:
            return _document(event)
    raise _nothing_handed_over(step_key)


def _document(event: dg.DagsterEvent) -> dict[str, Any]:
    metadata = cast(Any, event.event_specific_data).metadata
    return dict(metadata[_METADATA_KEY].value)


def _nothing_handed_over(step_key: str) -> dg.Failure:
    return dg.Failure(
        f"{step_key} handed nothing over: it did not succeed in the run before, or its events are deleted. "
        "Launch the whole job; the staged rows are safe.",
        allow_retries=False,
    )
