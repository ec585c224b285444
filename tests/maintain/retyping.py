"""Helpers for changes of type."""

from __future__ import annotations

from timestore_pipeline.maintain.column_retype import RetypeRequest, retyping
from timestore_pipeline.maintain.maintenance_report import RetypeReport
from timestore_pipeline.model.recast import Leeway
from timestore_pipeline.wiring import Timestore


def _no_progress(_dataset: str, _done: int, _of: int) -> None:
    """Shows nothing."""


def retyped(
    store: Timestore, column: str, kind: str, leeway: Leeway | None = None, *, dry_run: bool = False
) -> RetypeReport:
    """Of the dataset `weather`; raises what refuses it."""
    request, options = (
        RetypeRequest("weather", column, kind, leeway or Leeway()),
        store.maintain_options(dry_run=dry_run),
    )
    with retyping(store.area, store.lake, request, options) as work:
        report = work.examine(_no_progress)
        if not dry_run:
            work.carry_out(report, _no_progress)
    return report
