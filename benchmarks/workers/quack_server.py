"""A Quack server on one DuckDB file."""

from __future__ import annotations

import sys

from benchmarks.workers.answering import answer
from benchmarks.workers.extensions import connect


def main(file: str, port: str, token: str) -> None:
    connection = connect("httpfs", "quack", database=file)

    def serve() -> None:
        connection.execute(f"CALL quack_serve('quack:127.0.0.1:{port}', token := '{token}', disable_ssl := true)")

    answer({"serve": serve})


if __name__ == "__main__":
    main(*sys.argv[1:])
