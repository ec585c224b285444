"""Checks of an SQL text: that it is one statement that only reads, and the names it reads from.

DuckDB's parser shows both before anything is opened, so a query prepares the datasets it names and no others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from timestore_pipeline.errors import InvalidQuery
from timestore_pipeline.model.dataset import is_dataset_name

QUOTING = "names with '-' or '.', and SQL keywords, need double quotes"

_READS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)  # MULTI: a pivot
_NAME = re.compile(r'"((?:[^"]|"")+)"|([\w.]+)')


def check_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise `InvalidQuery` if the text cannot be parsed, is not one statement, or would do more than read."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise InvalidQuery(f"query refused: {error}", hint=QUOTING) from error
    if len(statements) != 1:
        raise InvalidQuery(f"query refused: {len(statements)} statements", hint="give one statement")
    if statements[0].type not in _READS:
        raise InvalidQuery(
            f"query refused: {statements[0].type.name} does more than read",
            hint="give a SELECT; staged and published rows are changed by ingesting and flushing only",
        )


def names_read(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """Dataset names the statement may read from, sorted; there need not be such datasets."""
    [(tree,)] = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    parsed = json.loads(tree)
    # An EXPLAIN or a pivot has no tree: then every word that may be a name counts as one.
    found = _words(sql) if parsed["error"] else _tables(parsed)
    return sorted({name.lower() for name in found if is_dataset_name(name.lower())})


def _tables(tree: Any) -> Iterator[str]:
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if node.get("type") in ("BASE_TABLE", "SHOW_REF"):
                yield node["table_name"].strip('"')
            node = list(node.values())
        if isinstance(node, list):
            nodes += node


def _words(sql: str) -> Iterator[str]:
    for quoted, bare in _NAME.findall(sql):
        yield quoted or bare
