"""Publishing an Arrow table the way a flush does: one ordered file per partition, then one commit.

Importable by child processes, so that races are run between real processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import duckdb
import pyarrow as pa

from timestore_pipeline.errors import Fenced
from timestore_pipeline.lake.layout import Partitioning
from timestore_pipeline.lake.table import Lake, LakeTable
from timestore_pipeline.model.dataset import Granularity
from timestore_pipeline.model.lake import ExportedFile

APP = "timestore/shard-0/weather"
NUMBERS = pa.table({"n": pa.array([1, 2, 3], pa.int64())})
UNPARTITIONED = Partitioning(Granularity.NONE, None, None)


def export(
    table: LakeTable,
    rows: pa.Table,
    granularity: Granularity = Granularity.NONE,
    *,
    shard: str = "shard-0",
    epoch: int = 1,
) -> list[ExportedFile]:
    """Files of `rows`, durable but not live; creates or extends the table first."""
    partitioning = Partitioning.of(rows.schema, granularity)
    table.ensure(rows.schema, partitioning)
    with duckdb.connect() as con:
        con.register("incoming", rows)
        values = con.sql(f"SELECT DISTINCT {partitioning.value_sql()} FROM incoming").fetchall()
        return [
            table.write(
                con,
                f"SELECT * FROM incoming WHERE {partitioning.predicate(key)}",
                key,
                shard=shard,
                epoch=epoch,
                time_column=partitioning.time_column,
            )
            for key in map(partitioning.key, (value for (value,) in values))
        ]


def publish(
    table: LakeTable, rows: pa.Table, granularity: Granularity = Granularity.NONE, *, app: str = APP, epoch: int = 1
) -> int | None:
    files = export(table, rows, granularity, shard=app.split("/")[1], epoch=epoch)
    return table.publish(app, epoch, files, {"rows": rows.num_rows})


class Barrier(Protocol):
    """Where processes or threads wait for each other."""

    def wait(self) -> int: ...


def create_when_all_are_ready(
    barrier: Barrier, uri: str, columns: Sequence[str], options: Mapping[str, str] | None = None
) -> None:
    """Child process or thread: create or extend the table at the same moment as the others."""
    schema = pa.schema([pa.field(name, pa.int64()) for name in columns])
    barrier.wait()
    Lake(uri, options).table("weather").ensure(schema, UNPARTITIONED)


def publish_when_all_are_ready(barrier: Barrier, uri: str, options: dict[str, str], shard: str, epochs: int) -> None:
    """Child process: publish `epochs` files of three rows under the shard's own app id."""
    table = Lake(uri, options).table("weather")
    barrier.wait()
    for epoch in range(1, epochs + 1):
        publish(table, NUMBERS, app=f"timestore/{shard}/weather", epoch=epoch)


def settle_when_all_are_ready(barrier: Barrier, uri: str, options: dict[str, str], epochs: int, burns: bool) -> None:
    """Child process: burn, or publish, the same epochs as the others; being fenced is one of the two good ends."""
    table = Lake(uri, options).table("weather")
    for epoch in range(1, epochs + 1):
        files = [] if burns else export(table, NUMBERS, epoch=epoch)
        barrier.wait()
        if burns:
            table.burn(APP, epoch, "race")
        else:
            publish_unless_fenced(table, epoch, files)


def publish_unless_fenced(table: LakeTable, epoch: int, files: Sequence[ExportedFile]) -> None:
    try:
        table.publish(APP, epoch, files, {})
    except Fenced:
        table.discard(files)
