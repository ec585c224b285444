"""PostgreSQL: Arrow rows appended by ADBC (a binary COPY) and committed, over a connection that stays open."""

from __future__ import annotations

import sys

import adbc_driver_postgresql.dbapi as postgresql
import pyarrow as pa

from benchmarks.workers.answering import answer, writing
from benchmarks.workers.rows import COLUMNS

_COLUMNS = COLUMNS.replace("DOUBLE", "DOUBLE PRECISION")


def main(uri: str) -> None:
    with postgresql.connect(uri) as connection, connection.cursor() as cursor:

        def prepare(destination: str) -> None:
            cursor.execute(f'CREATE TABLE IF NOT EXISTS "{destination}" ({_COLUMNS})')
            connection.commit()

        def write(destination: str, batch: pa.Table) -> None:
            cursor.adbc_ingest(destination, batch, mode="append")
            connection.commit()

        answer({"prepare": prepare, "write": writing(write)})


if __name__ == "__main__":
    main(sys.argv[1])
