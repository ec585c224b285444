"""Changes of type in short."""

from __future__ import annotations

from timestore_pipeline.maintain.retype import Wish, retyping
from timestore_pipeline.maintain.retype_report import RetypeReport
from timestore_pipeline.model.recast import Leeway
from timestore_pipeline.wiring import Timestore


def _untold(_dataset: str, _done: int, _of: int) -> None:
    """Nobody watches."""


def retyped(
    store: Timestore, column: str, kind: str, leeway: Leeway | None = None, *, dry_run: bool = False
) -> RetypeReport:
    """Of the dataset `weather`; raises what refuses it."""
    wish, options = Wish("weather", column, kind, leeway or Leeway()), store.maintain_options(dry_run=dry_run)
    with retyping(store.area, store.lake, wish, options) as work:
        report = work.examine(_untold)
        if not dry_run:
            work.carry_out(report, _untold)
    return report
