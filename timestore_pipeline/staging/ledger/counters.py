"""Durable counters and histograms: they survive every process and never go back.

A counter belongs to a dataset and is named as in the metrics contract, without the `timestore_staging_` prefix.
Histogram buckets are counters of their own, cumulative, with the label `le`. Results of verifications are kept here,
too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from timestore_pipeline.errors import UnknownDataset
from timestore_pipeline.staging.ledger.database import Database
from timestore_pipeline.staging.ledger.datasets import bring_back, dataset_id_of, ensured_id
from timestore_pipeline.system import clock

FLUSH_DURATION_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)  # seconds


@dataclass(frozen=True, slots=True)
class CounterValue:
    dataset: str
    series: str
    labels: dict[str, str]
    value: float


class Counters:
    """The `counters` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, dataset: str, series: str, labels: Mapping[str, str], amount: float) -> None:
        """Count something that arrives for the dataset; a new one is made."""
        with self._database.transaction() as tx:
            dataset_id = ensured_id(tx, dataset)
            increment(tx, dataset_id, series, labels, amount)
            bring_back(tx, dataset_id)

    def add_to_table(self, dataset: str, amounts: Mapping[str, float]) -> None:
        """Count work on the dataset's table, by series without labels.

        A removed dataset stays removed, and one that only other shards publish is not counted.
        """
        with suppress(UnknownDataset), self._database.transaction() as tx:
            dataset_id = dataset_id_of(tx, dataset)
            for series, amount in amounts.items():
                increment(tx, dataset_id, series, {}, amount)

    def all(self) -> list[CounterValue]:
        rows = self._database.rows(
            "SELECT name, series, labels, value FROM counters JOIN datasets USING (dataset_id)"
            " ORDER BY name, series, labels"
        )
        return [CounterValue(r["name"], r["series"], _decode(r["labels"]), r["value"]) for r in rows]


def increment(
    tx: sqlite3.Connection, dataset_id: int, series: str, labels: Mapping[str, str], amount: float = 1
) -> None:
    """Add to a counter inside a transaction."""
    tx.execute(
        "INSERT INTO counters (dataset_id, series, labels, value) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (dataset_id, series, labels) DO UPDATE SET value = value + excluded.value",
        (dataset_id, series, _encode(labels), amount),
    )


def put(tx: sqlite3.Connection, dataset_id: int, series: str, labels: Mapping[str, str], value: float) -> None:
    """Replace a number inside a transaction."""
    tx.execute(
        "INSERT INTO counters (dataset_id, series, labels, value) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (dataset_id, series, labels) DO UPDATE SET value = excluded.value",
        (dataset_id, series, _encode(labels), value),
    )


def observe_duration(tx: sqlite3.Connection, dataset_id: int, result: str, seconds: float) -> None:
    """Add one observation to the flush duration histogram."""
    series = "flush_duration_seconds"
    for bound in FLUSH_DURATION_BUCKETS:
        labels = {"result": result, "le": str(bound)}
        increment(tx, dataset_id, f"{series}_bucket", labels, 1 if seconds <= bound else 0)
    increment(tx, dataset_id, f"{series}_sum", {"result": result}, seconds)
    increment(tx, dataset_id, f"{series}_count", {"result": result}, 1)


def _encode(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={labels[name]}" for name in sorted(labels))


def _decode(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(",") if pair)


VERIFIED = "verified_timestamp_seconds"
PROBLEMS = "verify_problems"

QUICK, DEEP = "quick", "deep"


class Verifications:
    """The result of the last verification of each dataset, by any process: rows of the `counters` table.

    A verification that could not read everything leaves the number of problems as it was: it neither found any nor
    proved that there are none.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, problems: Mapping[str, int | None], *, deep: bool) -> None:
        """problems: dataset -> how many, None = it could not read everything. All in one transaction.

        A deep verification answers for a quick one, too. Names that the ledger does not have are left out, and a
        dataset that was removed stays removed.
        """
        now = clock.now().timestamp()
        with self._database.transaction() as tx:
            for dataset, found in problems.items():
                with suppress(UnknownDataset):
                    dataset_id = dataset_id_of(tx, dataset)
                    put(tx, dataset_id, VERIFIED, {"result": _result(found)}, now)
                    for depth in (QUICK, DEEP) if deep else (QUICK,):
                        if found is not None:
                            put(tx, dataset_id, PROBLEMS, {"depth": depth}, found)

    def verified(self) -> set[str]:
        """Datasets that were verified at least once."""
        sql = "SELECT DISTINCT name FROM counters JOIN datasets USING (dataset_id) WHERE series = ?"
        return {row["name"] for row in self._database.rows(sql, (VERIFIED,))}


def _result(problems: int | None) -> str:
    if problems is None:
        return "unknown"
    return "problems" if problems else "ok"
