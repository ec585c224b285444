"""Tables made by hand, as a sound or a faulty product would have published them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from timestore_pipeline.tools.crashtest.producer_journal import Sent, Story
from timestore_pipeline.tools.crashtest.schedule import ProvableBatch, make_batch


def batches(count: int, dataset: str = "trades") -> list[ProvableBatch]:
    """Of more than one row each, and with a key."""
    made = (make_batch(1, 0, number) for number in itertools.count())
    fitting = (batch for batch in made if batch.dataset == dataset and batch.rows > 1 and batch.key)
    return list(itertools.islice(fitting, count))


def story(*sent: ProvableBatch, acked: bool = True) -> dict[int, Story]:
    fields = ("producer", "number", "dataset", "key", "rows", "digest")
    return {0: Story({b.number: Sent(**{name: getattr(b, name) for name in fields}, acked=acked) for b in sent})}


def publish(lake: Path, *tables: pa.Table, dataset: str = "trades") -> None:
    """One commit."""
    write_deltalake(lake / dataset, pa.concat_tables(tables), mode="append")
