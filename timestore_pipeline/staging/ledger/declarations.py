"""New metadata of many datasets in one transaction: all of them hold afterwards, or none. And which code declares them.

Everything is read and checked inside the transaction, so what is refused or changed is decided on what is there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from timestore_pipeline.errors import DatasetsRefused, TimestoreError
from timestore_pipeline.model.dataset import DatasetMetadata
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger.datasets import bring_back, current_record
from timestore_pipeline.system import clock

_NOTED = "declares/"  # keys of the table `meta`, each with the place of the declaring code

Changing = Callable[[str, DatasetMetadata], DatasetMetadata]  # name, metadata -> new ones; the same object = no change


@dataclass(frozen=True, slots=True)
class Declared:
    """A dataset before and after. new: it was unknown, or removed."""

    dataset: str
    new: bool
    before: DatasetMetadata
    after: DatasetMetadata


@dataclass(frozen=True, slots=True)
class Noted:
    """The declarations of a code location, and when it last made them."""

    at: datetime
    datasets: dict[str, dict[str, Any]]  # as the file says it


class Declarations:
    """The `metadata` of many rows of `datasets`, and who declares them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(self, datasets: Collection[str], changing: Changing, *, dry_run: bool) -> list[Declared]:
        """Make and change datasets; `dry_run` shows the result without keeping it.

        Raises `DatasetsRefused` with a problem of every dataset that is refused, by `changing` or by what is published.
        """
        with self._database.transaction() as tx, _undone(tx, dry_run):
            done, problems = list[Declared](), list[TimestoreError]()
            for name in datasets:
                try:
                    done.append(_declare(tx, name, changing))
                except TimestoreError as error:
                    error.dataset = name
                    problems.append(error)
            if problems:
                raise DatasetsRefused(problems, of=len(datasets))
        return done

    def note(self, source: str, datasets: Mapping[str, Mapping[str, Any]]) -> None:
        """Remember that this code declares the datasets, in place of what it declared before."""
        value = json.dumps({"at": clock.to_micros(clock.now()), "datasets": datasets})
        with self._database.transaction() as tx:
            tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_NOTED + source, value))

    def noted(self) -> dict[str, Noted]:
        """By the place of the code."""
        rows = self._database.rows("SELECT key, value FROM meta WHERE key LIKE ? ORDER BY key", (f"{_NOTED}%",))
        documents = {row["key"].removeprefix(_NOTED): json.loads(row["value"]) for row in rows}
        return {source: Noted(clock.from_micros(one["at"]), one["datasets"]) for source, one in documents.items()}


@contextmanager
def _undone(tx: sqlite3.Connection, undo: bool) -> Iterator[None]:
    """Undo the writes of the block, if asked to."""
    tx.execute("SAVEPOINT declared")
    yield
    if undo:
        tx.execute("ROLLBACK TO declared")


def _declare(tx: sqlite3.Connection, name: str, changing: Changing) -> Declared:
    from timestore_pipeline.staging.ledger.declaring import replace_metadata  # here: a status must not import pyarrow

    known = tx.execute("SELECT removed_at FROM datasets WHERE name = ?", (name,)).fetchone()
    if known is None:
        now = clock.to_micros(clock.now())
        tx.execute("INSERT INTO datasets (name, created_at) VALUES (?, ?)", (name, now))
    record = current_record(tx, name, replacing=True)
    after = changing(name, record.metadata)
    if known is None or known["removed_at"] is not None:
        bring_back(tx, record.dataset_id)
        replace_metadata(tx, record, after)
        return Declared(name, True, record.metadata, after)
    if after is not record.metadata:
        replace_metadata(tx, record, after)
    return Declared(name, False, record.metadata, after)
