"""Where claimed rows lie, and the error that says which of them cannot be published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from timestore_pipeline.errors import TimestoreError

Place = tuple[str, int]  # segment or journal, and the sequence in it: a batch's id may tell where its rows were first


@dataclass(frozen=True, slots=True)
class StagedSource:
    """A database that is attached to an engine and holds rows of these batches."""

    name: str  # under which it is attached
    held_in: str  # id of the segment, or of the journal, that the rows come from
    sequences: Sequence[int]  # of the batches there, in order


class RowsUnfit(TimestoreError):
    """Batches hold values that the published types cannot; `culprits`: where each lies -> what is wrong with it."""

    code = "rows_unfit"

    def __init__(self, culprits: Mapping[Place, str], *, dataset: str) -> None:
        super().__init__(f"{len(culprits)} batches do not fit the published columns", dataset=dataset)
        self.culprits = culprits
