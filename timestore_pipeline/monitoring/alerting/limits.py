"""What an operator may say about one dataset's alerts, as the rules need it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from timestore_pipeline.model.dataset import BACKLOG_PAGE, BACKLOG_WARN, AlertOverrides


@dataclass(frozen=True, slots=True)
class BacklogLimit:
    """Datasets that share a level. `matcher`: for PromQL; `batches`: 0 = no alert."""

    matcher: str
    batches: int
    dataset: str = ""  # named when the level is one dataset's own


def backlog_limits(overrides: Mapping[str, AlertOverrides], *, page: bool) -> list[BacklogLimit]:
    """The default for every dataset without a level of its own, then the others; levels that are off are left out.

    The default excludes names and does not list them: a dataset that appears after rendering is covered.
    """
    chosen = {name: own.backlog_page if page else own.backlog_warn for name, own in sorted(overrides.items())}
    own = {name: batches for name, batches in chosen.items() if batches is not None}
    default = BacklogLimit(f'dataset!~"{any_of(own)}"' if own else "", BACKLOG_PAGE if page else BACKLOG_WARN)
    limits = [default, *(BacklogLimit(f'dataset="{name}"', batches, name) for name, batches in own.items())]
    return [limit for limit in limits if limit.batches]


def any_of(names: Iterable[str]) -> str:
    """A pattern for a quoted PromQL string; of what names may hold only the dot means something in a pattern."""
    return "|".join(re.sub(r"\.", r"\\\\.", name) for name in names)
