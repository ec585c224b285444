"""DuckDB's message about a wrong statement, without its guesses at names that are not ours, and with our remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb

QUOTING = "names with '-' or '.', and SQL keywords, need double quotes"

_GUESS = re.compile(r'\s*Did you mean "[^"]*"\?')  # of a table or function of DuckDB itself; hints list the datasets
_WORD = re.compile(r"\w+")


def own_message(error: Exception) -> str:
    return _GUESS.sub("", str(error))


def quoting_hint(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """For text that cannot be parsed: names the keyword in it that was meant as a name, such as a column `at`."""
    for word, quoted in _with_one_quoted(sql):
        if _parses(connection, quoted):
            return f'{word} is a keyword of SQL; a column or dataset of that name needs double quotes: "{word}"'
    return QUOTING


def _with_one_quoted(sql: str) -> Iterator[tuple[str, str]]:
    """Each keyword, and the text with that keyword in double quotes wherever it stands."""
    starts = [start for start, kind in duckdb.tokenize(sql) if kind == duckdb.token_type.keyword]
    words = [(start, found[0]) for start in starts if (found := _WORD.match(sql, start))]
    for word in dict.fromkeys(word.lower() for _, word in words):
        quoted = sql
        for start, text in reversed(words):
            if text.lower() == word:
                quoted = f'{quoted[:start]}"{text}"{quoted[start + len(text) :]}'
        yield word, quoted


def _parses(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    try:
        return len(connection.extract_statements(sql)) == 1
    except duckdb.Error:
        return False
