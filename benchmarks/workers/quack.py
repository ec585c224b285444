"""A client of Quack: one INSERT a batch into an attached remote database."""

from __future__ import annotations

import sys
from functools import cache

from benchmarks.workers.extensions import answer_with_inserts, connect


def main(port: str, token: str) -> None:
    connection = connect("httpfs", "quack")
    connection.execute(f"CREATE SECRET (TYPE quack, TOKEN '{token}')")

    @cache
    def remote(destination: str) -> str:
        """The table's name here. Attached late: a client does not see tables that others make afterwards."""
        connection.execute(f"ATTACH 'quack:127.0.0.1:{port}' AS \"at_{destination}\" (DISABLE_SSL true)")
        return f'"at_{destination}"."{destination}"'

    answer_with_inserts(connection, remote)


if __name__ == "__main__":
    main(*sys.argv[1:])
