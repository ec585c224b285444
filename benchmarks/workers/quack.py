"""A client of Quack: one INSERT a batch into an attached remote database."""

from __future__ import annotations

import sys
from functools import cache

import pyarrow as pa

from benchmarks.workers.answering import answer, writing
from benchmarks.workers.extensions import connect
from benchmarks.workers.rows import COLUMNS


def main(port: str, token: str) -> None:
    connection = connect("httpfs", "quack")
    connection.execute(f"CREATE SECRET (TYPE quack, TOKEN '{token}')")

    @cache
    def remote(destination: str) -> str:
        """The table's name here. Attached late: a client does not see tables that others make afterwards."""
        connection.execute(f"ATTACH 'quack:127.0.0.1:{port}' AS \"at_{destination}\" (DISABLE_SSL true)")
        return f'"at_{destination}"."{destination}"'

    def prepare(destination: str) -> None:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {remote(destination)} ({COLUMNS})")

    def write(destination: str, batch: pa.Table) -> None:
        connection.register("batch", batch)
        connection.execute(f"INSERT INTO {remote(destination)} SELECT * FROM batch")

    answer({"prepare": prepare, "write": writing(write)})


if __name__ == "__main__":
    main(*sys.argv[1:])
