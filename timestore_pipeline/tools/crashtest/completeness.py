"""Checks `complete_until`: a commit that names an instant must not lack a batch that was acknowledged before it.

Compares the reader's diary, which has every commit, with the acknowledgements in the producers' journals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from timestore_pipeline.tools.crashtest.journal import Sent, Story
from timestore_pipeline.tools.crashtest.reader import Batch, PublishedTable


def broken_promises(table: PublishedTable, stories: Mapping[int, Story]) -> Iterator[str]:
    """One problem for each batch that was published later than a commit had promised."""
    missing = _acknowledged(table.folder.name, stories)
    late: set[Batch] = set()
    for version, batches, promised in table.entries():
        for batch in batches:
            missing.pop(batch, None)
        for batch in () if promised is None else _acked_before(datetime.fromisoformat(promised), missing):
            if batch not in late:
                late.add(batch)
                yield (
                    f"version {version} of {table.folder.name} claims to be complete until {promised}, but lacks batch"
                    f" {batch[0]}/{batch[1]}, acknowledged at {missing[batch].acked_at}"
                )


def _acknowledged(dataset: str, stories: Mapping[int, Story]) -> dict[Batch, Sent]:
    sent = (batch for story in stories.values() for batch in story.sent.values())
    return {(batch.producer, batch.number): batch for batch in sent if batch.dataset == dataset and batch.acked_at}


def _acked_before(instant: datetime, missing: Mapping[Batch, Sent]) -> Iterator[Batch]:
    yield from (batch for batch, sent in missing.items() if sent.acked_at is not None and sent.acked_at < instant)
